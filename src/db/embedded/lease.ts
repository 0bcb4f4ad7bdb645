/**
 * Who uses the embedded server. Every process that does holds the write end of one FIFO open; a watchdog reads it. The
 * kernel closes a dead process's end however it died, so when the watchdog reads the end of the file, nobody is left,
 * and it stops the server. Being `sh`, in a session of its own, it outlives whatever is done to the service.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, constants, openSync } from 'node:fs';
import { runAs, SERVER_ENVIRONMENT, type ServerAccount } from './account.ts';

/**
 * Runs "$@" for as long as the lease on standard input is held, and again when it dies: at once after a crash, but not
 * for ever when it never comes up. Stopping: a fast shutdown, also of a server that was suspended; then by force.
 */
const WATCHDOG = `
trap '' HUP INT QUIT
trap 'over=yes' TERM
exec 3<&0 </dev/null
( exec 4<&3 3<&-; cat <&4 >/dev/null; exec 4<&-; kill -TERM $$ ) &
exec 3<&-
over= quick=0
while [ -z "$over" ] && [ "$quick" -lt 20 ]; do
  began=$(date +%s)
  "$@" & server=$!
  wait "$server"
  [ -n "$over" ] && break
  if [ $(($(date +%s) - began)) -lt 2 ]; then quick=$((quick + 1)); else quick=0; fi
  sleep 0.3
done
[ -n "$over" ] || exit 1
kill -INT "$server"; kill -CONT "$server"
( sleep 8; kill -QUIT "$server"; sleep 2; kill -KILL "$server" ) 2>/dev/null & force=$!
wait "$server"
kill "$force"
`;

export interface Lease {
  /** The watchdog, when this process started it. */
  readonly watchdog: ChildProcess | undefined;
  readonly release: () => void;
}

/** Makes the FIFO at `file` where it is missing. */
export function makeLease(file: string): void {
  runAs(undefined, 'mkfifo', ['-m', '600', file]);
}

/** Whether a watchdog is reading the lease. */
export function leaseIsWatched(file: string): boolean {
  const end = openWriteEnd(file);
  if (end !== undefined) closeSync(end);
  return end !== undefined;
}

/** Holds the lease, if a watchdog is reading it. */
export function attach(file: string): Lease | undefined {
  const end = openWriteEnd(file);
  return end === undefined ? undefined : { watchdog: undefined, release: () => closeSync(end) };
}

/** Holds the lease and starts a watchdog on it that runs `command` as the account, its output going to the file `log`. */
export function startWatchdog(file: string, account: ServerAccount, command: readonly string[], log: string): Lease {
  // The read end must block in read(), and would block in open() without a writer; opened both ways it is both at once.
  const both = openSync(file, constants.O_RDWR | constants.O_NONBLOCK);
  const readEnd = openSync(file, constants.O_RDONLY);
  const writeEnd = openSync(file, constants.O_WRONLY);
  const output = openSync(log, 'a', 0o600);
  const watchdog = spawn('/bin/sh', ['-c', WATCHDOG, 'iqra-authz-watchdog', ...command], {
    ...account,
    cwd: '/',
    env: SERVER_ENVIRONMENT,
    detached: true,
    stdio: [readEnd, output, output],
  });
  watchdog.unref();
  for (const end of [both, readEnd, output]) closeSync(end);
  return { watchdog, release: () => closeSync(writeEnd) };
}

function openWriteEnd(file: string): number | undefined {
  try {
    return openSync(file, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENXIO') return undefined;
    throw error;
  }
}
