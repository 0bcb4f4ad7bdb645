/**
 * Checkpoints: at intervals one root over the heads of all chains is signed, and kept where a superuser of the database
 * cannot rewrite it. No change to what precedes the last one escapes `verify`.
 */

import type { Knex } from 'knex';
import { CLOCK } from '../../db/clock.ts';
import { writeOutcomeOf } from '../../db/write-outcome.ts';
import type { Log } from '../../log.ts';
import { every } from '../../loop.ts';
import { counter, gauge, type Metric } from '../../metric.ts';
import { type Checkpoint, checkpointDigest, printLine, signedBytes } from '../format/checkpoint-line.ts';
import {
  ALL_HEADS,
  chainOf,
  createHeads,
  HEAD_COLUMNS,
  type Head,
  type Heads,
  sameHead,
  sameStart,
} from '../format/heads.ts';
import type { Signer } from '../format/signatures.ts';
import { appendLine } from './file.ts';

interface Parts {
  readonly db: Knex;
  readonly log: Log;
  /** The boot of this process. */
  readonly writer: string;
  readonly signer: Signer;
  /** A file outside the database. */
  readonly file: string;
  readonly seconds: number;
}

export interface Checkpoints {
  /** `age`: seconds since all that was in the log was last known to be in the file. `failures`: attempts that failed. */
  readonly state: () => { readonly age: number; readonly failures: number };
  /** Makes one now, unless nothing has changed; what fails is counted, logged and left to the next attempt. */
  readonly make: () => Promise<void>;
  /** Makes one as soon as can be, though nothing has changed: its time shows where the database's clock stands. */
  readonly soon: () => void;
  /** Makes the last one, and stops. Call it once nothing is recorded any more. */
  readonly close: () => Promise<void>;
}

/**
 * A signed checkpoint that is not known to be in the file. It outlives a failed attempt: the next one writes the same again, to
 * the database unless it is known to be `stored` there, then to the file.
 */
interface Draft {
  readonly checkpoint: Checkpoint;
  stored: boolean;
}

/** What the log says besides its heads: the number of the next checkpoint, and its clock, in milliseconds since 1970. */
interface Next {
  readonly next: number;
  readonly clock: number;
}

/** Of the optimistic insert of a number: more than there are processes that try the same one at the same moment. */
const ATTEMPTS = 20;

// INVARIANT: one statement, so one snapshot of heads and numbers. If it has checkpoint n, it has all commits that n was made of:
// so no chain has fewer records in a checkpoint with a greater number.
const READ = `
  select ${HEAD_COLUMNS}, authz_next_checkpoint()::float8 as next, ${CLOCK} as clock
  from ${ALL_HEADS}`;

/** Places in the chain of administration that one statement gives: it holds up changes meanwhile. */
const READS_AT_ONCE = 500;
const CHAIN_READS = `select authz_chain_reads(${READS_AT_ONCE}) as chained`;

// False where the number is not the next any more. True also where this process had stored the same, and lost the answer.
const STORE = `
  select authz_append_checkpoint(?, ?, ?, ?, decode(?, 'hex'), ?, decode(?, 'base64'), decode(?, 'base64')) as stored`;

/**
 * Makes a checkpoint every `seconds`. Longer than a screen, because its functions are one state machine: heads that were read,
 * heads that reached no file yet, and the checkpoint under way.
 */
export function createCheckpoints({ db, log, writer, signer, file, seconds }: Parts): Checkpoints {
  const known = createHeads();
  /** Those that changed since the last checkpoint that reached the file. */
  const unsent = new Map<string, Head>();
  let previous: string | null = null;
  let draft: Draft | undefined;
  let failures = 0;
  /** Whether one was asked for though nothing has changed. */
  let due = false;
  let coveredAt = performance.now();

  /** Brings `known` to what the log is now. @returns the number of the next checkpoint, and when that was */
  const readHeads = async (): Promise<Next> => {
    const { rows } = await db.raw<{ rows: (Head & Next)[] }>(READ);
    const heads = rows.map(({ next: _, clock: __, ...head }): Head => head);
    const back = wentBack(known, heads);
    if (back !== undefined) {
      log.error({ chain: back }, 'the decision log went back to what it was before: run authz audit verify');
      if (heads.length === 0) throw new Error('the heads of the decision log are gone');
      // A delta cannot say that a head was removed: the next checkpoint lists all heads.
      known.clear();
      unsent.clear();
    }
    const changed = heads.filter((head) => !sameHead(head, known.get(chainOf(head))));
    known.put(changed);
    for (const head of changed) unsent.set(chainOf(head), head);
    return { next: rows[0]?.next ?? 1, clock: rows[0]?.clock ?? 0 };
  };

  const makeDraft = ({ next, clock }: Next): Draft => {
    const unsigned = {
      type: 'checkpoint' as const,
      number: next,
      at: new Date(clock).toISOString(),
      writer,
      size: known.size(),
      root: known.root(),
      previous,
      heads: [...unsent.values()],
      publicKey: signer.publicKey,
    };
    return { checkpoint: { ...unsigned, signature: signer.sign(signedBytes(unsigned)) }, stored: false };
  };

  /** INVARIANT: in the database first. So each line of the file has its row, and one without is a sign of tampering. */
  const finish = async (current: Draft): Promise<boolean> => {
    try {
      current.stored ||= await store(db, current.checkpoint);
    } catch (error) {
      // What is refused would be refused again, and keep all later ones out. Its heads are unsent still.
      if (writeOutcomeOf(error, true) === 'refused') draft = undefined;
      throw error;
    }
    if (current.stored) {
      await appendLine(file, printLine(current.checkpoint));
      for (const head of current.checkpoint.heads) if (unsent.get(chainOf(head)) === head) unsent.delete(chainOf(head));
      previous = checkpointDigest(current.checkpoint);
    }
    draft = undefined;
    return current.stored;
  };

  /** Until all that the log holds now is in the file. */
  const makeOne = async (): Promise<void> => {
    // What an earlier attempt left; if its number has been taken meanwhile, its heads are still unsent.
    if (draft !== undefined) await finish(draft);
    for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
      const since = performance.now();
      await chainReads(db);
      const next = await readHeads();
      const [one] = known.all();
      // No line has no heads: one that has not changed is listed again.
      if (due && unsent.size === 0 && one !== undefined) unsent.set(chainOf(one), one);
      due = false;
      if (unsent.size > 0) draft = makeDraft(next);
      if (draft === undefined || (await finish(draft))) {
        coveredAt = since;
        return;
      }
    }
    throw new Error('other processes took every number');
  };

  const onError = (error: unknown): void => {
    failures += 1;
    log.error({ error }, 'no checkpoint of the decision log could be written; the next attempt goes on from there');
  };
  // A run that hangs shows in the age.
  const loop = every(seconds * 1000, makeOne, { first: 'later', onError });

  return {
    state: () => ({ age: (performance.now() - coveredAt) / 1000, failures }),
    make: loop.now,
    soon: () => {
      due = true;
      loop.wake();
    },
    close: async () => {
      await loop.close();
      await makeOne().catch(onError);
    },
  };
}

/** So that the checkpoint covers the events of all reads that there are now. */
async function chainReads(db: Knex): Promise<void> {
  for (let chained = READS_AT_ONCE; chained === READS_AT_ONCE; ) {
    const { rows } = await db.raw<{ rows: { chained: number }[] }>(CHAIN_READS);
    chained = rows[0]?.chained ?? 0;
  }
}

async function store(db: Knex, checkpoint: Checkpoint): Promise<boolean> {
  const { number, at, writer, size, root, heads, publicKey, signature } = checkpoint;
  const values = [number, at, writer, size, root, JSON.stringify(heads), publicKey, signature];
  const { rows } = await db.raw<{ rows: { stored: boolean }[] }>(STORE, values);
  return rows[0]?.stored === true;
}

/** The first chain that was removed, or whose head cannot follow the known one. */
function wentBack(known: Heads, heads: readonly Head[]): string | undefined {
  const now = new Map(heads.map((head) => [chainOf(head), head]));
  for (const head of known.all()) {
    const later = now.get(chainOf(head));
    if (later === undefined || later.records < head.records) return chainOf(head);
    if (!sameStart(later, head) || (later.records === head.records && later.hash !== head.hash)) return chainOf(head);
  }
  return undefined;
}

/** Without samples where this process makes no checkpoints: there is no age then, and 0 would say that all is covered. */
export const checkpointMetrics = (checkpoints: Pick<Checkpoints, 'state'> | undefined): Metric[] => [
  gauge(
    'checkpoint_age_seconds',
    'Time since the last checkpoint of the decision log.',
    () => checkpoints?.state().age,
  ),
  counter('checkpoint_failures_total', 'Checkpoints that could not be written.', () => checkpoints?.state().failures),
];
