/** The situations that records name, as the hashes of those records cover them: encoded once, with gaps for the ids. */

import canonicalizer from 'canonicalize';
import type { Knex } from 'knex';
import { field } from '../format/record-hash.ts';
import { hasRoundedNumber } from './row.ts';

// It is CommonJS, and its types say that its function is `default` once more.
const canonicalize = canonicalizer as unknown as (value: unknown) => string | undefined;

export interface StoredSituation {
  /** The fields policy and facts_version. */
  readonly before: Buffer;
  /** The canonical facts, cut where the ids of key, target and user stand, in this order. */
  readonly pieces: readonly [Buffer, Buffer, Buffer, Buffer];
  /** Of the pieces together. */
  readonly bytes: number;
}

/** By digest, a character a byte. */
export type Situations = ReadonlyMap<string, StoredSituation>;

/** Some 20 MB; each is 8 KB at most. */
const MOST = 10_000;

const COLUMNS = `select encode(digest, 'hex') as digest, policy, facts_version::text, facts::text from situations`;

interface Row {
  readonly digest: string;
  readonly policy: string;
  readonly facts_version: string;
  readonly facts: string;
}

export interface SituationsOfDays {
  /** All that the records of a day name, where they are not too many to be held; those of days that ascend. */
  readonly ofDay: (day: string) => Promise<Situations | undefined>;
}

/** What a day names was named last on that day or later: so the first day's serve all, and where they are too many, each day has its own. */
export function situationsOfDays(db: Knex): SituationsOfDays {
  let all: Promise<Situations | undefined> | undefined;
  const load = async (where: string, day: string): Promise<Situations | undefined> => {
    const { rows } = await db.raw<{ rows: Row[] }>(`${COLUMNS} where ${where} limit ${MOST + 1}`, { day });
    return rows.length > MOST ? undefined : new Map(rows.flatMap((row) => encode(row)));
  };
  return {
    ofDay: async (day) => {
      all ??= load('last_day >= :day::date', day);
      return (
        (await all) ??
        load(
          `digest in (select situation from decision_records
           where at >= :day::date at time zone 'UTC' and at < (:day::date + 1) at time zone 'UTC')`,
          day,
        )
      );
    },
  };
}

const GROUPS = ['key', 'target', 'user'] as const;
/** No jsonb holds the character, so none but ours is found. */
const MARK = '\0';

/** None where the view would not put the ids in, or JSON readers would round: then the view says what it is. */
function encode({ digest, policy, facts_version, facts }: Row): [string, StoredSituation][] {
  const groups: unknown = JSON.parse(facts);
  if (hasRoundedNumber(facts) || !isGroup(groups)) return [];
  const marked: Record<string, unknown> = { ...groups };
  for (const name of GROUPS) {
    const group = groups[name];
    if (!isGroup(group)) return [];
    marked[name] = { ...group, id: MARK };
  }
  const [first, second, third, fourth, ...more] = (canonicalize(marked) ?? '')
    .split(JSON.stringify(MARK))
    .map((piece) => Buffer.from(piece));
  if (!first || !second || !third || !fourth || more.length > 0) return [];
  const pieces = [first, second, third, fourth] as const;
  const before = Buffer.from(field(policy) + field(facts_version), 'latin1');
  return [
    [
      Buffer.from(digest, 'hex').toString('latin1'),
      { before, pieces, bytes: pieces.reduce((sum, { length }) => sum + length, 0) },
    ],
  ];
}

const isGroup = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
