/** The binary `authz`: lends a run of the CLI this process's arguments, environment, streams and stop signals. */

import { npmAncestors, whenOneEnds } from './npm-ancestors.ts';

// Before all else is loaded: an npm that ends meanwhile can't be found any more.
const npm = npmAncestors(process.env);
const { FAILED, runCli } = await import('./run-cli.ts');

const stop = new AbortController();
let listening = false;

/** SIGTERM, SIGINT and the end of npm abort; a second signal ends the process at once. */
function stopSignal(): AbortSignal {
  if (listening) return stop.signal;
  listening = true;
  // What the whole group gets, as by Ctrl-C, npm gets too, and may hand on to us: the same signal once more.
  let spare = npm.length;
  let signalled = false;
  for (const name of ['SIGTERM', 'SIGINT'] as const) {
    process.on(name, () => {
      if (signalled) spare -= 1;
      signalled = true;
      if (spare < 0) process.exit(FAILED);
      stop.abort(name);
    });
  }
  whenOneEnds(npm, () => stop.abort('the end of npm'));
  return stop.signal;
}

const { env, stdin, stdout, stderr } = process;
process.exitCode = await runCli(process.argv.slice(2), {
  env,
  stdin,
  stdout,
  stderr,
  // A getter, so that only verbs that end by the signal listen. Others are ended by its default action, at once, even while
  // they compute; a listener would wait for a turn of the event loop.
  get signal() {
    return stopSignal();
  },
});
