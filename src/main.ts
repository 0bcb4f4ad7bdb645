/** The binary `authz`: lends a run of the CLI this process's arguments, environment, streams and stop signals. */

import { constants } from 'node:os';
import { npmAncestors, whenOneEnds } from './npm-ancestors.ts';

// Before all else is loaded: an npm that ends meanwhile can't be found any more.
const npm = npmAncestors(process.env);
const stop = new AbortController();
/** Whether the verb ends by the signal. */
let heeded = false;
/** Signals that are taken for the first: what a whole group gets, as by Ctrl-C, npm gets too, and may hand on to us once more. */
let spare = npm.length;

function listen(): void {
  let signalled = false;
  for (const name of ['SIGTERM', 'SIGINT'] as const) {
    process.on(name, () => {
      if (!heeded) process.exit(128 + constants.signals[name]);
      if (signalled) spare -= 1;
      signalled = true;
      if (spare < 0) process.exit(FAILED);
      stop.abort(name);
    });
  }
  whenOneEnds(npm, () => stop.abort('the end of npm'));
}

// The kernel has no default action for process 1 of a namespace, as of a container: what it does not listen to does not end it.
const isFirst = process.pid === 1;
if (isFirst) listen();

/** SIGTERM, SIGINT and the end of npm abort; a second signal ends the process at once. */
function stopSignal(): AbortSignal {
  if (!heeded && !isFirst) listen();
  heeded = true;
  return stop.signal;
}

const { FAILED, runCli } = await import('./run-cli.ts');
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
// A start that was broken off may go on waiting for its database.
if (stop.signal.aborted) process.exit();
