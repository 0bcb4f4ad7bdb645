/** The binary `authz`: lends a run of the CLI this process's arguments, environment, streams and stop signals. */

import { FAILED, runCli } from './run-cli.ts';

const stop = new AbortController();
let listening = false;

/** SIGTERM and SIGINT abort; the second one ends the process at once. */
function stopSignal(): AbortSignal {
  if (listening) return stop.signal;
  listening = true;
  for (const name of ['SIGTERM', 'SIGINT'] as const) {
    process.on(name, () => {
      if (stop.signal.aborted) process.exit(FAILED);
      stop.abort(name);
    });
  }
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
