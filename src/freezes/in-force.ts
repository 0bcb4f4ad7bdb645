/** The freezes in force, all in memory, so that a decision reads nothing for them. */

import type { Knex } from 'knex';
import type { Breaker } from '../db/breaker.ts';
import { databaseFailure } from '../db/failure.ts';
import { type Deadline, deadlineIn } from '../deadline.ts';
import { FREEZES, type Freshness } from '../facts/freshness.ts';
import { type Held, holdWhole, type Snapshot } from '../facts/held.ts';
import { gauge, type Metric } from '../metric.ts';
import { closed, type Facts } from '../policy/facts.ts';
import { type Coverable, covering, type Freeze, type FreezeIndex, indexFreezes } from './covering.ts';

export interface InForce {
  /**
   * What says which freeze covers a question. At once while what is held is current, else after a read of the primary.
   * @throws Failure UNAVAILABLE or DEADLINE_EXCEEDED: then nothing may be decided
   */
  readonly current: (deadline: Deadline) => Covers | Promise<Covers>;
  /** Those in force as far as this process knows, for metrics. Where they are not current, they are read anew meanwhile. */
  readonly held: () => readonly Freeze[];
  readonly now: () => number;
}

export type Covers = (question: Coverable) => Freeze | undefined;

interface Row extends Omit<Freeze, 'id'> {
  readonly seq: number;
  readonly clock: number;
  readonly standby: boolean;
  /** Null in the one row that is returned when there is no freeze. */
  readonly id: string | null;
}

// statement_timestamp(), which is earlier than the snapshot: an extension that is not in the snapshot was committed after it.
const READ_ALL = `
  select feed.last::float8 as seq, pg_is_in_recovery() as standby,
    extract(epoch from statement_timestamp())::float8 * 1000 as clock, live.*
  from change_counter feed left join (
    select id, action, key_id as "keyId", user_id as "userId", business_id as "businessId", reason,
      extract(epoch from until)::float8 * 1000 as until
    from freezes where lifted_at is null and until > now()
  ) live on true`;

/**
 * Holds the freezes of `db`, which must be the primary; a read takes at most `limitMs` milliseconds.
 *
 * INVARIANT: a freeze ends only once its end is confirmed. The time that it is held against is that of the last confirmation, not of
 * now: an extension that was committed before the end is known by then, so a freeze that is extended has no gap.
 */
export function holdFreezes(db: Knex, breaker: Breaker, freshness: Freshness, limitMs: number): InForce {
  const held: Held<FreezeIndex> = holdWhole(() => readAll(db, breaker, limitMs), freshness, FREEZES);
  const coversIn =
    (index: FreezeIndex): Covers =>
    (question) =>
      covering(index, question, held.knownAt());
  return {
    current: (deadline) => {
      const index = held.peek();
      return index ? coversIn(index) : held.load(deadline).then(coversIn);
    },
    held: () => {
      // Where it fails, the next question says so.
      if (!held.peek()) void held.load(deadlineIn(limitMs)).catch(() => undefined);
      return held.latest()?.all.filter(({ until }) => until > held.knownAt()) ?? [];
    },
    now: held.knownAt,
  };
}

async function readAll(db: Knex, breaker: Breaker, limitMs: number): Promise<Snapshot<FreezeIndex>> {
  const { rows } = await breaker(async () => db.raw<{ rows: Row[] }>(READ_ALL), deadlineIn(limitMs));
  const [first] = rows;
  if (first?.standby !== false || !Number.isSafeInteger(first.seq) || !Number.isFinite(first.clock))
    throw databaseFailure(
      new Error('the freezes came from a standby, or without a change number; DATABASE_URL must name the primary'),
    );
  const freezes = rows.flatMap(({ id, action, keyId, userId, businessId, reason, until }) =>
    id === null ? [] : [{ id, action, keyId, userId, businessId, reason, until }],
  );
  // To take it for one that has ended would be a guess.
  if (!freezes.every(({ until }) => Number.isFinite(until))) throw databaseFailure(new Error('a freeze has no end'));
  return { seq: first.seq, clock: first.clock, value: indexFreezes(freezes) };
}

const FROZEN: Facts['freeze'] = closed({ active: true });

/** The facts, with `freeze.active` where a freeze covers them. */
export const withFreeze = (facts: Facts, freeze: Freeze | undefined): Facts =>
  freeze ? closed({ ...facts, freeze: FROZEN }) : facts;

export const freezeMetrics = ({ held, now }: Pick<InForce, 'held' | 'now'>): Metric[] => [
  gauge('freezes_in_force', 'Freezes in force.', () => held().length),
  gauge('freeze_next_end_seconds', 'How long until the first freeze in force ends; 0 while there is none.', () => {
    const ends = held().map(({ until }) => until - now());
    return ends.length === 0 ? 0 : Math.min(...ends) / 1000;
  }),
];
