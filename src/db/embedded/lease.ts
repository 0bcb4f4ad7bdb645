/**
 * Who uses the embedded server. Every process that does holds the write end of one FIFO open; a watchdog reads it. The
 * kernel closes a dead process's end however it died, so when the watchdog reads the end of the file, nobody is left,
 * and it stops the server. Being `sh`, in a session of its own, it outlives whatever is done to the service.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, constants, openSync } from 'node:fs';
import { runAs, SERVER_ENVIRONMENT, type ServerAccount } from './account.ts';

/**
 * Runs "$@" for as long as the lease on standard input is held, and again when it dies; but it does not try for ever what
 * never comes up, and leaves a server alone whose process stands in the file $1: that one has a watchdog. Stopping: a fast
 * shutdown, also of a server that was suspended; then harder; last by force, later than the server does that to its own.
 *
 * A signal that comes just before `wait` does not end it, so the reader says it again; that also paces the stopping.
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

interface Watched {
  readonly command: readonly string[];
  /** Where the server writes down its process. */
  readonly pidFile: string;
  /** Where its output goes. */
  readonly log: string;
}

/** Holds the lease and starts a watchdog on it, running as the account; unless another process has done so meanwhile. */
export function startWatchdog(file: string, account: ServerAccount, { command, pidFile, log }: Watched): Lease {
  const theirs = attach(file);
  if (theirs) return theirs;
  // The read end must block in read(), and would block in open() without a writer; opened both ways it is both at once.
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
