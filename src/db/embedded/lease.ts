/**
 * Counts the processes that use the embedded server. Each holds the write end of one FIFO open, and a watchdog reads the
 * FIFO. The kernel closes the end of a process however it dies (SIGKILL, too), so end-of-file tells the watchdog that no
 * user is left, and it stops the server. The watchdog is an `sh` in a session of its own: signals to the service's process
 * group do not reach it.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, constants, openSync } from 'node:fs';
import { runAs, SERVER_ENVIRONMENT, type ServerAccount } from './account.ts';

/**
 * The watchdog's script. It runs "$@" (the server) while the lease on standard input is held, and restarts it when it dies:
 * without limit once it has run, but at most five times when it exits with 1, as a server does that cannot start. It gives
 * up when the pid file $1 names a live process: another watchdog's server. To stop, it sends SIGINT (fast shutdown, with
 * SIGCONT for a suspended server), after 30 rounds SIGQUIT, after 65 SIGKILL, which is later than the server does that to
 * its own children.
 *
 * A SIGTERM that arrives just before `wait` would not interrupt it, so the FIFO's reader repeats it every 0.2 s; each one
 * ends a `wait` in the stopping loop, too, which makes a round 0.2 s long.
 */
const WATCHDOG = `
trap '' HUP INT QUIT
trap over=yes TERM
exec 3<&0 </dev/null
( while read -r _; do :; done <&3; exec 3<&-; while kill -TERM $$; do sleep 0.2; done ) &
exec 3<&-
file=$1 over= tries=5
shift
while [ -z "$over" ] && [ "$tries" -ne 0 ]; do
  "$@" & server=$!
  wait "$server"
  status=$?
  [ -z "$over" ] || break
  { read -r other <"$file" && kill -0 "$other"; } 2>/dev/null && break
  if [ "$status" -eq 1 ]; then tries=$((tries - 1)) pause=1; else tries=-1 pause=0.3; fi
  sleep "$pause"
done
beat=0
while kill -0 "$server"; do
  kill -INT "$server"; kill -CONT "$server"
  [ "$beat" -lt 30 ] || kill -QUIT "$server"
  [ "$beat" -lt 65 ] || kill -KILL "$server"
  beat=$((beat + 1))
  wait "$server"
done 2>/dev/null
trap '' TERM
kill -TERM 0
`;

export interface Lease {
  /** The watchdog process, when this process started it. */
  readonly watchdog: ChildProcess | undefined;
  readonly release: () => void;
}

/** Makes the FIFO `file`, unless it exists. */
export function makeLease(file: string): void {
  runAs(undefined, 'mkfifo', ['-m', '600', file]);
}

/** Whether a watchdog has the FIFO open for reading: a non-blocking open for writing fails with ENXIO otherwise. */
export function leaseIsWatched(file: string): boolean {
  const end = openWriteEnd(file);
  if (end !== undefined) closeSync(end);
  return end !== undefined;
}

/** Joins the lease of a running watchdog; undefined where there is none. */
export function attach(file: string): Lease | undefined {
  const end = openWriteEnd(file);
  return end === undefined ? undefined : { watchdog: undefined, release: () => closeSync(end) };
}

interface Watched {
  readonly command: readonly string[];
  /** postmaster.pid. */
  readonly pidFile: string;
  /** File that its output is appended to. */
  readonly log: string;
}

/** Starts a watchdog as the account and holds its lease; joins the lease of another process that was faster. */
export function startWatchdog(file: string, account: ServerAccount, { command, pidFile, log }: Watched): Lease {
  const theirs = attach(file);
  if (theirs) return theirs;
  // The read end must block in read(), but opening it would block, too, while there is no writer: O_RDWR is one already.
  const both = openSync(file, constants.O_RDWR | constants.O_NONBLOCK);
  const readEnd = openSync(file, constants.O_RDONLY);
  const writeEnd = openSync(file, constants.O_WRONLY);
  const output = openSync(log, 'a', 0o600);
  const watchdog = spawn('/bin/sh', ['-c', WATCHDOG, 'iqra-authz-watchdog', pidFile, ...command], {
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
