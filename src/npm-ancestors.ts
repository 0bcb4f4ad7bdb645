/**
 * The npm that runs this process, if one does. npm and npx start a command through `sh -c`, hand SIGTERM on to that shell, and end; a
 * shell that has not exec'ed the command ends without telling it. So that nothing is left behind, the process follows the end of npm.
 *
 * INVARIANT: it follows nobody else. Whoever starts it otherwise may end when they like: a daemon outlives who started it.
 */

import { readFileSync } from 'node:fs';
import path from 'node:path';

/** A process. The moment of its start tells it from a later one of the same number. */
export interface Ancestor {
  readonly pid: number;
  readonly startedAt: string;
}

/**
 * The npm processes from which this one descends with nothing but such shells between: more than one where a script runs npm. None
 * where the system has no /proc, and where this process has a session of its own (setsid), in which it is to outlive them.
 */
export function npmAncestors(env: NodeJS.ProcessEnv): readonly Ancestor[] {
  // npm sets it, and everything below inherits it: without it, the look is spared.
  if (env['npm_execpath'] === undefined) return [];
  try {
    const self = statOf('self');
    // In a namespace of its own, whose processes this /proc does not show.
    if (self.pid !== process.pid) return [];
    const found: Ancestor[] = [];
    for (let pid = process.ppid; pid > 0; ) {
      const args = argumentsOf(pid);
      const stat = statOf(pid);
      if (stat.session !== self.session) break;
      if (isNpm(args)) found.push({ pid, startedAt: stat.startedAt });
      else if (!isShellOfNpm(args)) break;
      pid = stat.parent;
    }
    return found;
  } catch {
    // No /proc, or one that does not tell; or a parent that has just ended, and with it what is known of its own.
    return [];
  }
}

/** By its title (`npm exec authz serve`); or by its script, before it has one. */
const isNpm = ([first = '', second = '']: readonly string[]): boolean =>
  /^npm(?: |$)/.test(first) ||
  (/^node/.test(path.basename(first)) && /^np[mx](?:-cli\.js)?$/.test(path.basename(second)));

/** `sh -c`, or with the shell that is set as `script-shell`. */
const isShellOfNpm = ([first = '', second]: readonly string[]): boolean =>
  /^(?:a|ba|da|k|mk|z)?sh$/.test(path.basename(first)) && second === '-c';

const argumentsOf = (pid: number): string[] => readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');

interface Stat {
  readonly pid: number;
  readonly state: string;
  readonly parent: number;
  readonly session: string;
  readonly startedAt: string;
}

/** See proc_pid_stat(5). The name of the command, which is in parentheses, can hold anything. */
function statOf(pid: number | 'self'): Stat {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const [state = '', parent, , session = ''] = fields;
  return { pid: Number.parseInt(text, 10), state, parent: Number(parent), session, startedAt: fields[19] ?? '' };
}

const LOOK_MS = 200;

/** Calls `then` once, when one of them has ended. Keeps no process alive. */
export function whenOneEnds(ancestors: readonly Ancestor[], then: () => void): void {
  if (ancestors.length === 0) return;
  const looking = setInterval(() => {
    if (!ancestors.some(hasEnded)) return;
    clearInterval(looking);
    then();
  }, LOOK_MS).unref();
}

function hasEnded({ pid, startedAt }: Ancestor): boolean {
  try {
    const stat = statOf(pid);
    // A zombie has ended; who started it has not asked yet.
    return stat.startedAt !== startedAt || stat.state === 'Z' || stat.state === 'X';
  } catch (error) {
    // Any other fault, such as too many open files, says nothing about it.
    return ['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '');
  }
}
