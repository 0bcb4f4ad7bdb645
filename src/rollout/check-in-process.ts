/**
 * Checks a policy in a process of its own. Proving what holds of every situation can take seconds and a lot of memory,
 * and the text may come from somebody who means harm: neither may delay, or end, the service that is answering.
 */

import { fork } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import type { PolicyTexts } from '../policy/folder/files.ts';
import type { Finding } from '../policy/folder/findings.ts';

/** Far above what the bounds on situations allow: only what is broken takes as long, or as much. */
const LIMIT_MS = 120_000;
const LIMIT_MB = 512;
/** Beside the source it is TypeScript, beside the build JavaScript. */
const PROGRAM = path.join(import.meta.dirname, `check-process${path.extname(import.meta.filename)}`);

/**
 * The findings of a policy folder; none when it may go live. `ending` calls it off.
 * @throws Error when the check did not come to its end: then nothing is known of the policy.
 */
export async function checkAside(
  texts: PolicyTexts,
  ending?: AbortSignal,
  limitMs = LIMIT_MS,
): Promise<readonly Finding[]> {
  const execArgv = [...process.execArgv, `--max-old-space-size=${LIMIT_MB}`];
  // Without our environment: it holds secrets, and no check needs any of it.
  const child = fork(PROGRAM, { env: {}, execArgv, serialization: 'advanced', stdio: 'ignore' });
  if (child.pid === undefined) {
    // It was not started, for want of file descriptors or memory. To kill it would be to kill ourselves: it has no id.
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
