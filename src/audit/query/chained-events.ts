/** The events of administration in the order of their chain, for a file outside the database. */

import type { Knex } from 'knex';
import { orFailure } from '../../db/failure.ts';
import type { EventLine } from '../format/event-line.ts';

const instant = (column: string): string =>
  `to_char(${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as ${column}`;

const READ = `
  select seq::float8 as seq, id::text, ${instant('at')}, ${instant('chained_at')}, actor, login, action, subject_kind, subject_id,
    before::text, after::text, request_id, encode(hash, 'hex') as hash
  from admin_events where admin_events.seq >= ? order by admin_events.seq limit ?`;

/** `most` events from number `from` on: those of reads only once they have their place. @throws Failure UNAVAILABLE or DEADLINE_EXCEEDED */
export async function readChainedEvents(db: Knex, from: number, most: number): Promise<EventLine[]> {
  const { rows } = await orFailure(db.raw<{ rows: EventLine[] }>(READ, [from, most]));
  return rows;
}

/** Number -> hash (hex) of the events in this range, both ends inclusive. */
export async function readEventHashes(db: Knex, from: number, to: number): Promise<ReadonlyMap<number, string>> {
  const { rows } = await orFailure(
    db.raw<{ rows: { seq: number; hash: string }[] }>(
      `select seq::float8 as seq, encode(hash, 'hex') as hash from admin_events where seq between ? and ?`,
      [from, to],
    ),
  );
  return new Map(rows.map(({ seq, hash }) => [seq, hash]));
}
