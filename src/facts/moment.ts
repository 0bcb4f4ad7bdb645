/**
 * The moment of a decision, by the database's clock, which all processes share: the last confirmed reading, carried forward by the
 * monotonic clock. It is the time of the record, and what schedules go by; the clock of this machine is neither.
 */

import type { Knex } from 'knex';
import type { Breaker } from '../db/breaker.ts';
import { CLOCK } from '../db/clock.ts';
import { databaseFailure } from '../db/failure.ts';
import type { Deadline } from '../deadline.ts';
import { spanAt } from '../policy/facts-under.ts';
import type { Schema } from '../policy/schema.ts';
import type { Freshness } from './freshness.ts';

export interface Moments {
  /**
   * A moment between the question and its answer, in milliseconds since 1970, for the schedules of a schema. At once where they are
   * the same at all times that it can be by the last reading; else, within a few milliseconds of a change of a schedule, and where no
   * reading is confirmed, after another reading of the primary. It is never ahead of the database's clock, unless that was set back
   * since the last reading; and behind it by no more than that reading took, and a few milliseconds.
   * @throws Failure UNAVAILABLE or DEADLINE_EXCEEDED: then nothing may be decided
   */
  readonly momentFor: (schema: Schema, deadline: Deadline) => number | Promise<number>;
}

interface Row {
  readonly standby: boolean;
  readonly clock: number;
}

const READ_CLOCK = `select pg_is_in_recovery() as standby, ${CLOCK} as clock`;

/** By the clock of `db`, which must be the primary. */
export function momentsOf(db: Knex, breaker: Breaker, freshness: Pick<Freshness, 'confirmed' | 'clock'>): Moments {
  const read = async (deadline: Deadline): Promise<number> => {
    const { rows } = await breaker(
      async () => db.raw<{ rows: Row[] }>(READ_CLOCK).on('start', deadline.check),
      deadline,
    );
    const [row] = rows;
    if (row?.standby !== false || !Number.isFinite(row.clock))
      throw databaseFailure(new Error('the time came from a standby, or is none; DATABASE_URL must name the primary'));
    return row.clock;
  };

  return {
    momentFor: (schema, deadline) => {
      const bounds = freshness.confirmed() ? freshness.clock() : undefined;
      if (bounds === undefined) return read(deadline);
      // INVARIANT: nothing is decided on a schedule that may have changed since the last reading, or before it.
      const holds = schema.declaration.schedules.length === 0 || bounds.latest < spanAt(schema, bounds.earliest).until;
      return holds ? bounds.earliest : read(deadline);
    },
  };
}
