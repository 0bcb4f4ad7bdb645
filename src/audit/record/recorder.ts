/**
 * Group commit: the decision log's only writer in a process. Decisions that are queued while one batch is in flight are the
 * next batch, and each request resolves once its own are durable. docs/adr/0006-group-commit.md says why.
 */

import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import type { Knex } from 'knex';
import { databaseFailure } from '../../db/failure.ts';
import { isOutdated } from '../../db/schema.ts';
import { ATTEMPTS, lacksPartition, lostRace, writeOutcomeOf } from '../../db/write-outcome.ts';
import type { Deadline } from '../../deadline.ts';
import { Failure } from '../../errors.ts';
import { type Log, logSampled } from '../../log.ts';
import { counter, gauge, type Metric } from '../../metric.ts';
import { type Batch, endsElsewhere, lacksSituation, newChain, numberBatch, sendBatch } from './batch.ts';
import type { Entry } from './entry.ts';
import { makePartitions } from './partitions.ts';
import { createSharing } from './sharing.ts';

/**
 * What is called once all the entries of a request are durable, or with the failure of all of them. Once, perhaps before the call that takes
 * it returns. It should not throw: that is logged, and tells nobody.
 */
export type Settle = (failure?: Failure) => void;

/** Queues the entries of a request: either all of them are recorded or the request fails. No promise and no timer for each. */
export type EnqueueEntries = (entries: readonly Entry[], deadline: Deadline, settle: Settle) => void;

/** `EnqueueEntries` as a promise. */
export type RecordEntries = (entries: readonly Entry[], deadline: Deadline) => Promise<void>;

export interface RecorderStats {
  /** Decisions that wait for their batch, and how many may. */
  readonly queued: number;
  readonly capacity: number;
  /** Decisions of the batch that is under way. */
  readonly inFlight: number;
  /** Since the start: decisions written, and statements that wrote them. */
  readonly recorded: number;
  readonly batches: number;
  /** Since the start: requests that found the queue full. */
  readonly rejected: number;
  /** Since the start: batches sent again because their outcome was unknown. */
  readonly resent: number;
}

export interface Recorder {
  /**
   * Settles with Failure INTERNAL, UNAVAILABLE or DEADLINE_EXCEEDED. After each of them the entries may have been recorded all the same: the
   * log may hold a decision that was never delivered, but no decision is delivered that the log does not hold.
   */
  readonly enqueue: EnqueueEntries;
  /** @throws Failure as `enqueue` settles with */
  readonly record: RecordEntries;
  readonly stats: () => RecorderStats;
  /** When a batch was last committed, by the monotonic clock; -Infinity where none was, or one has failed since. */
  readonly provedAt: () => number;
  /** Refuses new entries and drains the queue; what cannot be written is logged. Idempotent. */
  readonly close: () => Promise<void>;
}

/**
 * Bound of the queue, in decisions: about what a database writes within the default deadline, so that what could not be
 * written in time is refused at once. At some 2 KB each at most, 10 MB.
 */
const QUEUE = 5000;
/** Decisions in one statement, unless a single request has more. At some 2 KB each at most, it is no more than 1 MB. */
const BATCH = 500;
const RETRY_MS = 100;
/** How often the deadlines of all that wait are looked at, so by how much one may be answered late. */
const SWEEP_MS = 20;

interface Waiting {
  readonly entries: readonly Entry[];
  readonly deadline: Deadline;
  /** Undefined once it was called. */
  settle: Settle | undefined;
}

/** As `sendBatch`, with the requests whose entries the batch has. */
export type SendBatch = (
  ...of: [...Parameters<typeof sendBatch>, requests: readonly { readonly deadline: Deadline }[]]
) => Promise<void>;

interface Outcome {
  /** `again`: nothing was sent, or this chain cannot go on; number the same entries anew. */
  readonly is: 'committed' | 'again' | 'refused' | 'failed';
  readonly error?: unknown;
}

/**
 * The writer of a new chain. `db` should be a connection pool of its own, so that no other query delays a commit. Longer
 * than a screen, because its functions share the queue and the chain.
 *
 * INVARIANT: one batch is in flight at a time, and the chain advances when it is known to be committed; while its outcome
 * is unknown, nothing but the same rows is sent. So no two records have one number, and no number is left out.
 */
export function createRecorder(db: Knex, log: Log, send: SendBatch = sendBatch): Recorder {
  let chain = newChain();
  const sharing = createSharing();
  let queue: Waiting[] = [];
  let queued = 0;
  /** What was taken from the queue last, until all of it is settled. */
  let underWay: readonly Waiting[] = [];
  /** Those that are recorded and were not told yet. */
  const recorded: Waiting[] = [];
  let inFlight = 0;
  let working: Promise<void> | undefined;
  let sweeping: NodeJS.Timeout | undefined;
  let closing = false;
  let provedAt = Number.NEGATIVE_INFINITY;
  const totals = { recorded: 0, batches: 0, rejected: 0, resent: 0 };

  const enqueue: EnqueueEntries = (entries, deadline, settle) => {
    if (entries.length === 0) return settle();
    if (closing) return settle(new Failure('UNAVAILABLE', 'The service is stopping. Ask another replica.'));
    if (queued + entries.length > QUEUE) {
      totals.rejected += 1;
      return settle(new Failure('UNAVAILABLE', 'Too many decisions wait to be recorded. Ask again after Retry-After.'));
    }
    queued += entries.length;
    queue.push({ entries, deadline, settle });
    working ??= work();
    sweeping ??= setInterval(sweep, SWEEP_MS).unref();
  };

  const record: RecordEntries = (entries, deadline) =>
    new Promise((resolve, reject) => enqueue(entries, deadline, (failure) => (failure ? reject(failure) : resolve())));

  /** Answers all that have waited for too long. What becomes of their entries is up to whoever has them. */
  function sweep(): void {
    const now = performance.now();
    for (const waiting of underWay) isInTime(waiting, now);
    for (const waiting of queue) isInTime(waiting, now);
    if (working !== undefined) return;
    clearInterval(sweeping);
    sweeping = undefined;
  }

  async function work(): Promise<void> {
    while (queue.length > 0) {
      // Requests that arrive in this turn of the event loop share a batch.
      await nextTurn();
      underWay = take();
      await write(underWay);
    }
    tell();
    underWay = [];
    working = undefined;
  }

  function finish(waiting: Waiting, failure?: Failure): void {
    const { settle } = waiting;
    waiting.settle = undefined;
    try {
      settle?.(failure);
    } catch (error) {
      // A defect of one must not keep the others of its batch from their answers.
      log.error({ error }, 'a request could not be told what became of its decisions');
    }
  }

  function isInTime(waiting: Waiting, now: number): boolean {
    if (now >= waiting.deadline.at()) finish(waiting, new Failure('DEADLINE_EXCEEDED'));
    return waiting.settle !== undefined;
  }

  function inTime(requests: readonly Waiting[]): readonly Waiting[] {
    const now = performance.now();
    return requests.filter((waiting) => isInTime(waiting, now));
  }

  /** Tells requests that they are recorded. Where others wait, their batch is sent first, so that the database has work while answers are written. */
  function answer(requests: readonly Waiting[]): void {
    recorded.push(...requests);
    if (queue.length === 0) tell();
    // It is sent at the end of this turn of the event loop; at the end of the next, they are told.
    else setImmediate(() => setImmediate(tell));
  }

  function tell(): void {
    for (const waiting of recorded.splice(0)) finish(waiting);
  }

  function fail(requests: readonly Waiting[], error: unknown): void {
    const failure = databaseFailure(error);
    for (const waiting of requests) finish(waiting, failure);
  }

  /** The oldest requests, as many as one statement takes. */
  function take(): Waiting[] {
    let size = 0;
    const end = queue.findIndex(({ entries }, index) => {
      size += entries.length;
      return index > 0 && size > BATCH;
    });
    const taken = end === -1 ? queue : queue.slice(0, end);
    queue = end === -1 ? [] : queue.slice(end);
    for (const { entries } of taken) queued -= entries.length;
    return taken;
  }

  /** Settles each of the requests. Bisects a batch that the database refuses, so that a bad row fails its own request only. */
  async function write(requests: readonly Waiting[]): Promise<void> {
    const live = inTime(requests);
    if (live.length === 0) return;
    const { is, error } = await settle(live);
    inFlight = 0;
    if (is === 'committed') {
      answer(live);
    } else if (is === 'again') {
      await write(live);
    } else if (is === 'refused' && live.length > 1) {
      const half = live.length >> 1;
      await write(live.slice(0, half));
      await write(live.slice(half));
    } else {
      fail(live, error);
    }
  }

  /** Numbers and sends the entries of the requests, until it is known what came of it, and moves the chain if it did. */
  async function settle(requests: readonly Waiting[]): Promise<Outcome> {
    let batch: Batch;
    try {
      batch = numberBatch(
        chain,
        requests.flatMap(({ entries }) => entries),
        sharing,
      );
    } catch (error) {
      return { is: 'refused', error };
    }
    inFlight = batch.records;
    const abandon = (error: unknown): Outcome => {
      log.error({ error, boot: chain.boot, records: batch.records }, uncertain ? ABANDONED : ELSEWHERE);
      chain = newChain();
      return uncertain ? { is: 'failed', error } : { is: 'again' };
    };
    let uncertain = false;
    let lacked = false;
    for (let attempt = 1; ; attempt += 1) {
      let sent = uncertain;
      try {
        const whenSending = (): void => {
          // The deadline passed while waiting for a connection: send nothing.
          if (!uncertain && inTime(requests).length < requests.length) throw new Failure('DEADLINE_EXCEEDED');
          sent = true;
        };
        await send(db, batch, whenSending, requests);
        chain = batch.chain;
        sharing.keep(batch.added);
        totals.recorded += batch.records;
        totals.batches += 1;
        provedAt = performance.now();
        return { is: 'committed' };
      } catch (error) {
        if (!sent && error instanceof Failure) return { is: 'again' };
        if (lacksPartition(error) && !lacked) {
          lacked = true;
          await makePartitions(db, batch.days).catch((error: unknown) =>
            logSampled(log, 'warn', 'partition', { error }, NO_PARTITION),
          );
          continue;
        }
        // Rolled back, so the same rows may be sent again, for as long as somebody waits for them.
        if (lostRace(error) && attempt < ATTEMPTS) continue;
        provedAt = Number.NEGATIVE_INFINITY;
        if (endsElsewhere(error)) return abandon(error);
        // A row that was committed before would have been a duplicate first, so none was.
        if (isOutdated(error)) return uncertain ? abandon(error) : { is: 'failed', error };
        if (lacksSituation(error) && sharing.forget()) return uncertain ? abandon(error) : { is: 'again' };
        const outcome = writeOutcomeOf(error, sent);
        if (!uncertain && outcome !== 'unknown') return { is: outcome, error };
        // Refused after an unknown outcome: other rows hold these numbers, so the chain is given up.
        if (outcome === 'refused') return abandon(error);
        uncertain = true;
        totals.resent += 1;
        if (attempt === 1) continue;
        if (attempt === 2) logSampled(log, 'warn', 'uncertain', { error, records: batch.records }, UNCERTAIN);
        fail(requests, error);
        while (queue.length > 0) fail(take(), error);
        if (closing) return abandon(error);
        await sleep(RETRY_MS);
      }
    }
  }

  return {
    enqueue,
    record,
    provedAt: () => provedAt,
    stats: () => ({ queued, capacity: QUEUE, inFlight, ...totals }),
    close: async () => {
      closing = true;
      await working;
    },
  };
}

const NO_PARTITION = 'a partition of the decision log is missing and could not be made';
const UNCERTAIN =
  'the outcome of a batch of decisions is unknown (connection lost during the commit); the same rows are sent again until it is known';
const ELSEWHERE =
  "this process's chain does not end where it did: the database has been restored or changed; it begins a new chain";
const ABANDONED =
  'a batch of unknown outcome was given up; none of its decisions was delivered, some may be in the log; a new chain begins';

export const recorderMetrics = (stats: () => RecorderStats): Metric[] => [
  gauge('log_queue', 'Decisions that wait to be recorded.', () => stats().queued),
  gauge('log_queue_capacity', 'How many may wait; beyond it questions get 503.', () => stats().capacity),
  counter('log_entries_total', 'Decisions that were recorded.', () => stats().recorded),
  counter('log_batches_total', 'Commits that they were recorded in.', () => stats().batches),
];
