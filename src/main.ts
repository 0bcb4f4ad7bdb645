/** The binary `authz`: lends a run of the CLI this process's arguments, environment, streams and stop signals. */

import { getEventListeners } from 'node:events';
import { FAILED, runCli } from './run-cli.ts';

const stop = new AbortController();
for (const name of ['SIGTERM', 'SIGINT'] as const) {
  process.on(name, () => {
    if (stop.signal.aborted) process.exit(FAILED);
    if (getEventListeners(stop.signal, 'abort').length > 0) return stop.abort(name);
    // The verb has no ending of its own: end by the signal's default action, as without this listener.
    process.removeAllListeners(name);
    process.kill(process.pid, name);
  });
}

const { env, stdin, stdout, stderr } = process;
process.exitCode = await runCli(process.argv.slice(2), { env, stdin, stdout, stderr, signal: stop.signal });
