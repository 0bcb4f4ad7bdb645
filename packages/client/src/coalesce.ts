/**
 * Makes one batch of the questions that are asked in one turn of the event loop. Opt-in: it saves the service requests, and costs each
 * question the wait for the slowest of its batch.
 */

import { askBatch, askOne, batchesOf, PLACE, type Written } from './authorize.ts';
import { AuthzError, BadQuestion } from './errors.ts';
import type { Sending, Transport } from './transport.ts';
import type { Decision } from './types.ts';

type Ask = (written: Written, sending: Sending) => Promise<Decision<string>>;

/** A question that waits for its decision. */
interface Waiting extends Written {
  readonly sending: Sending;
  readonly resolve: (decision: Decision<string>) => void;
  readonly reject: (error: unknown) => void;
}

/** What a question alone could have brought on: those beside it are asked without it. */
const OF_ONE = new Set(['INVALID_REQUEST', 'FORBIDDEN', 'PAYLOAD_TOO_LARGE']);

export function coalescing(transport: Transport): Ask {
  /** By deadline. INVARIANT: questions of different deadlines are never in one batch. */
  let waiting = new Map<number, Waiting[]>();

  function flush(): void {
    const groups = waiting;
    waiting = new Map();
    for (const group of groups.values()) {
      const wanted = group.filter(({ sending: { signal }, reject }) => {
        if (signal?.aborted) reject(signal.reason);
        return !signal?.aborted;
      });
      for (const { batch } of batchesOf(wanted)) void settle(transport, batch);
    }
  }

  return (written, sending) =>
    new Promise((resolve, reject) => {
      if (waiting.size === 0) setImmediate(flush);
      const group = waiting.get(sending.deadlineMs) ?? [];
      waiting.set(sending.deadlineMs, group);
      group.push({ ...written, sending, resolve, reject });
    });
}

/** Asks a batch, and gives each its own decision or error. Never rejects. */
async function settle(transport: Transport, batch: readonly Waiting[]): Promise<void> {
  const [first] = batch;
  if (!first) return;
  if (batch.length === 1) return askOne(transport, first, first.sending).then(first.resolve, first.reject);
  const { signal, release } = untilAllGiveUp(batch);
  try {
    const decisions = await askBatch(transport, batch, { ...first.sending, signal });
    for (const [at, { resolve }] of batch.entries()) resolve(decisions[at] as Decision<string>);
  } catch (error) {
    await askAgain(transport, batch, error);
  } finally {
    release();
  }
}

/** What a batch failed with: the error of those that brought it on, and a new question about the others; else the error of all. */
async function askAgain(transport: Transport, batch: readonly Waiting[], error: unknown): Promise<void> {
  if (!(error instanceof AuthzError) || !OF_ONE.has(error.code ?? '')) {
    for (const { reject } of batch) reject(error);
    return;
  }
  const faults = batch.map((_, at) =>
    error.issues
      .filter(({ path }) => PLACE.exec(path)?.[1] === String(at))
      .map(({ path, message }) => ({ path: path.replace(PLACE, ''), message })),
  );
  const good = batch.filter((_, at) => faults[at]?.length === 0);
  for (const [at, { reject }] of batch.entries())
    if (faults[at]?.length) reject(new BadQuestion(error.message, { ...error, issues: faults[at] }));
  // Where no place is named, each is asked alone.
  await Promise.all(
    (good.length === batch.length ? good.map((one) => [one]) : [good]).map((some) => settle(transport, some)),
  );
}

/** Rejects each whose caller gives up. The batch goes on for the others; without any, it ends. */
function untilAllGiveUp(batch: readonly Waiting[]): { readonly signal: AbortSignal; readonly release: () => void } {
  const all = new AbortController();
  let left = batch.length;
  const releases = batch.map(({ sending: { signal }, reject }) => {
    const giveUp = (): void => {
      reject(signal?.reason);
      left -= 1;
      if (left === 0) all.abort(signal?.reason);
    };
    signal?.addEventListener('abort', giveUp, { once: true });
    return () => signal?.removeEventListener('abort', giveUp);
  });
  return { signal: all.signal, release: () => releases.forEach((release) => void release()) };
}
