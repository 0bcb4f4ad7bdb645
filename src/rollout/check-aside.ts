/**
 * Checks a policy in a process of its own. Proving what holds of every situation can take seconds and a lot of memory,
 * and the text may come from somebody who means harm: neither may delay, or end, the service that is answering.
 */

import { fork } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import type { Finding } from '../policy/finding.ts';
import type { PolicyTexts } from '../policy/parse.ts';

/** Far above what the bounds on situations allow: only what is broken takes as long. */
const LIMIT_MS = 120_000;
/** Beside the source it is TypeScript, beside the build JavaScript. */
const PROGRAM = path.join(import.meta.dirname, `check-process${path.extname(import.meta.filename)}`);

/**
 * The findings of a policy folder; none when it may go live.
 * @throws Error when the check did not come to its end: then nothing is known of the policy.
 */
export async function checkAside(texts: PolicyTexts, limitMs = LIMIT_MS): Promise<readonly Finding[]> {
  // Without our environment: it holds secrets, and no check needs any of it.
  const child = fork(PROGRAM, { env: {}, serialization: 'advanced', stdio: 'ignore' });
  const limit = setTimeout(() => child.kill('SIGKILL'), limitMs);
  try {
    const ended = once(child, 'exit');
    const answered = once(child, 'message') as Promise<[readonly Finding[]]>;
    child.send(texts as never);
    const [findings] = await Promise.race([
      answered,
      ended.then(() => {
        throw new Error('the check ended without a result: out of time or memory; make the policy smaller');
      }),
    ]);
    return findings;
  } finally {
    clearTimeout(limit);
    child.kill('SIGKILL');
  }
}
