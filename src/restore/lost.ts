/** Which decisions a database has lost: what the checkpoints outside attest of each chain, and what the database has of it. */

import type { Knex } from 'knex';
import { type Attested, type Mark, placeOf } from '../audit/checkpoint/attested.ts';
import { ADMINISTRATION, ALL_HEADS, chainOf, HEAD_COLUMNS, type Head } from '../audit/format/heads.ts';
import { orFailure } from '../db/failure.ts';

/** Records `from` to `to` of a chain, both inclusive. */
export interface LostRange {
  readonly boot: string;
  readonly day: string;
  readonly from: number;
  readonly to: number;
  /** The first checkpoint that attests the last of them. */
  readonly by: Mark;
}

export interface LostReport {
  readonly decisions: number;
  readonly chains: readonly LostRange[];
  /** Of the events of administration; by hash, since the database may have given their numbers to others. */
  readonly administration: LostRange | undefined;
  /** The last checkpoint that the database has; undefined: none. */
  readonly held: Mark | undefined;
  /** The last one outside. What was decided after it and is not in the database cannot be known. */
  readonly last: Mark | undefined;
}

export async function findLost(db: Knex, { longest, events, last }: Attested): Promise<LostReport> {
  const { rows } = await orFailure(db.raw<{ rows: Head[] }>(`select ${HEAD_COLUMNS} from ${ALL_HEADS}`));
  const heads = new Map(rows.map((head) => [chainOf(head), head]));
  const chains = [...longest]
    .map(([chain, { head, by }]) => rangeOf(head, heads.get(chain)?.records ?? 0, by))
    .filter(({ boot, from, to }) => boot !== ADMINISTRATION.boot && from <= to)
    .sort((a, b) => (a.day + a.boot < b.day + b.boot ? -1 : 1));
  const administration = longest.get(chainOf(ADMINISTRATION));
  return {
    decisions: chains.reduce((sum, { from, to }) => sum + to - from + 1, 0),
    chains,
    administration: administration && (await lostEvents(db, administration.head, administration.by, events)),
    held: await lastHeld(db),
    last,
  };
}

const rangeOf = ({ boot, day, records }: Head, held: number, by: Mark): LostRange => ({
  boot,
  day,
  from: held + 1,
  to: records,
  by,
});

/** `head` is of a history that the database has not: from where the last attested event that it has. */
async function lostEvents(db: Knex, head: Head, by: Mark, events: Attested['events']): Promise<LostRange | undefined> {
  const places = [...events.keys()].map((place) => place.split(' ') as [string, string]);
  const { rows } = await orFailure(
    db.raw<{ rows: { seq: number; hash: string }[] }>(
      `select seq::float8 as seq, encode(hash, 'hex') as hash from admin_events where seq = any(?::bigint[])`,
      [places.map(([seq]) => seq)],
    ),
  );
  const held = rows.filter(({ seq, hash }) => events.has(placeOf(seq, hash))).map(({ seq }) => seq);
  const common = Math.max(0, ...held);
  return held.includes(head.records) ? undefined : rangeOf(head, common, by);
}

async function lastHeld(db: Knex): Promise<Mark | undefined> {
  const row = await orFailure(
    db('checkpoints').orderBy('number', 'desc').first<{ number: string; at: Date } | undefined>('number', 'at'),
  );
  return row && { number: Number(row.number), at: row.at.toISOString() };
}
