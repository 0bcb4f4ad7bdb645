/**
 * Checks a policy in a child process. A check can take seconds and much memory, and a hostile text could make it worse; in a
 * process of its own it can neither block the event loop nor exhaust the memory of the service.
 */

import { fork } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import type { PolicyTexts } from '../policy/folder/files.ts';
import type { Finding } from '../policy/folder/findings.ts';

/** Far above what a policy within the bounds takes; only a defect or an attack reaches them. */
const LIMIT_MS = 120_000;
const LIMIT_MB = 512;
/** The program beside this file: .ts from source, .js in the build. */
const PROGRAM = path.join(import.meta.dirname, `check-process${path.extname(import.meta.filename)}`);

/**
 * The findings of a policy; none when it may go live. `ending` aborts the check.
 * @throws Error when the check did not finish, so that nothing is known of the policy
 */
export async function checkInProcess(
  texts: PolicyTexts,
  ending?: AbortSignal,
  limitMs = LIMIT_MS,
): Promise<readonly Finding[]> {
  const execArgv = [...process.execArgv, `--max-old-space-size=${LIMIT_MB}`];
  // With an empty environment: ours holds secrets, and a check needs none of it.
  const child = fork(PROGRAM, { env: {}, execArgv, serialization: 'advanced', stdio: 'ignore' });
  if (child.pid === undefined) {
    // The fork failed (no file descriptors or memory). kill() on a child without a pid would signal our own process group.
    const [error] = (await once(child, 'error')) as [Error];
    throw error;
  }
  const kill = (): void => void child.kill('SIGKILL');
  const limit = setTimeout(kill, limitMs);
  ending?.addEventListener('abort', kill);
  try {
    const ended = once(child, 'exit').then(() => {
      throw new Error('the check ended without a result: out of time or memory; make the policy smaller');
    });
    const answered = once(child, 'message') as Promise<[readonly Finding[]]>;
    child.send(texts as never);
    const [findings] = await Promise.race([answered, ended]);
    return findings;
  } finally {
    clearTimeout(limit);
    ending?.removeEventListener('abort', kill);
    kill();
  }
}
