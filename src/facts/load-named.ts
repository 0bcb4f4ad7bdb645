/**
 * Loads the facts of keys that are named by a public id, their own or their user's, and not shown. Read from the primary each time, past the
 * cache: such questions are few, and a key that nobody has shown must not stay in memory by its id.
 */

import type { Knex } from 'knex';
import type { Breaker } from '../db/breaker.ts';
import { databaseFailure, requirePrimary } from '../db/failure.ts';
import type { Deadline } from '../deadline.ts';
import { invalid } from '../input/json.ts';
import { type AroundStatement, type Known, knownOf, unknownKey } from './load.ts';
import { type StoredRow, selectFacts } from './stored-facts.ts';

/** Whom a question is about. */
export type Named = { readonly keyId: string } | { readonly userId: string };

export interface NamedQuestion {
  readonly named: Named;
  readonly businessId: string | undefined;
}

/**
 * What is stored of each question's key; of a user's, a key of each class of keys that may be decided differently, the active ones first,
 * then by their ids. At least one: of a key that there is not, or a user without any, an unknown one.
 * @throws Failure UNAVAILABLE or DEADLINE_EXCEEDED, through the breaker; INVALID_REQUEST: a user has too many classes
 */
export type LoadNamed = (
  questions: readonly NamedQuestion[],
  named: NamedIds,
  deadline: Deadline,
) => Promise<readonly (readonly Known[])[]>;

/** Ids of keys that a policy tells apart from all others: each is a class by itself, as is a key that a freeze names. */
export type NamedIds = readonly string[];

/** More classes of one user's keys are refused: each is decided by itself. */
export const MOST_CLASSES = 1000;
/** Of all the questions of a request together, which are decided in one go: each question has the same share of it, up to MOST_CLASSES. */
const MOST_TOGETHER = 5000;

const FOUND = `
  select feed.last::float8 as seq, pg_is_in_recovery() as standby, found.*
  from change_counter feed left join (`;

const BY_KEY = `${FOUND}
    ${selectFacts(`
      from unnest(?::int[], ?::text[], ?::text[]) as asked (number, key_id, business_id)
      join api_keys k on k.id = asked.key_id`)}
  ) found on true`;

const STATUS = `case when l.revoked_at is not null then 'revoked' when l.expires_at <= now() then 'expired' else 'active' end`;
const FROZEN = 'exists (select from freezes f where f.key_id = l.id and f.lifted_at is null and f.until > now())';
const RESTRICTED = `exists (select from api_key_businesses r where r.key_id = l.id and r.business_id = asked.business_id)`;
/** What tells the keys of one user apart. */
const CLASS = [
  STATUS,
  'l.allow_user_management',
  'l.environment',
  'l.attributes',
  `asked.business_id is not null and (not l.restricted or ${RESTRICTED})`,
  `case when l.id = any(?::text[]) or ${FROZEN} then l.id end`,
];
const COLUMNS = CLASS.map((_, index) => `c${index}`).join();

const BY_USER = `${FOUND}
    ${selectFacts(`
      from unnest(?::int[], ?::text[], ?::text[]) as asked (number, user_id, business_id)
      join lateral (
        select distinct on (${COLUMNS}) l.*
        from (
          select l.*, ${CLASS.map((sql, index) => `${sql} as c${index}`).join()} from api_keys l where l.user_id = asked.user_id
        ) l
        order by ${COLUMNS}, l.id
        limit ?
      ) k on true`)}
  ) found on true`;

/** Makes a loader that reads `db`, which must be the primary. */
export function namedLoader(db: Knex, breaker: Breaker, around: AroundStatement = (_waiting, run) => run()): LoadNamed {
  const read = async (sql: string, bindings: readonly unknown[], deadline: Deadline): Promise<readonly StoredRow[]> => {
    const { rows } = await breaker(
      () =>
        around([{ deadline }], async () =>
          db.raw<{ rows: StoredRow[] }>(sql, bindings as Knex.RawBinding[]).on('start', deadline.check),
        ),
      deadline,
    );
    requirePrimary(rows[0]?.standby);
    return rows.filter(({ asked }) => asked !== null);
  };

  return async (questions, named, deadline) => {
    const columns = (idOf: (named: Named) => string | undefined) => {
      const asked = questions.flatMap(({ named, businessId }, number) => {
        const id = idOf(named);
        return id === undefined ? [] : [{ number, id, businessId }];
      });
      return asked.length === 0
        ? undefined
        : [asked.map(({ number }) => number), asked.map(({ id }) => id), asked.map((one) => one.businessId ?? null)];
    };
    const byKey = columns((one) => ('keyId' in one ? one.keyId : undefined));
    const byUser = columns((one) => ('userId' in one ? one.userId : undefined));
    const most = Math.min(MOST_CLASSES, Math.floor(MOST_TOGETHER / (byUser?.[0]?.length ?? 1)));
    const rows = [
      ...(byKey ? await read(BY_KEY, byKey, deadline) : []),
      ...(byUser ? await read(BY_USER, [...byUser, named, most + 1], deadline) : []),
    ];
    const found = questions.map((): StoredRow[] => []);
    for (const row of rows) found[row.asked ?? -1]?.push(row);
    return questions.map((question, number) => candidatesOf(question, found[number] ?? [], most));
  };
}

function candidatesOf(
  { named, businessId }: NamedQuestion,
  rows: readonly StoredRow[],
  most: number,
): readonly Known[] {
  // To take another's facts for what was asked would be a guess.
  const fits = (row: StoredRow): boolean =>
    'keyId' in named ? row['key.id'] === named.keyId : row['user.id'] === named.userId;
  if (!rows.every(fits) || ('keyId' in named && rows.length > 1))
    throw databaseFailure(new Error('the rows for a key do not fit the question'));
  if (rows.length > most)
    throw invalid(
      '',
      `a user has more than ${most} keys that differ; ask about one of them, as an api_key${most < MOST_CLASSES ? ', or less at once' : ''}`,
    );
  if (rows.length === 0) return [unknownKey(businessId)];
  const isActive = (row: StoredRow): number => (row['key.status'] === 'active' ? 0 : 1);
  const inOrder = rows.toSorted((a, b) => isActive(a) - isActive(b) || (a['key.id'] < b['key.id'] ? -1 : 1));
  return inOrder.map((row) => knownOf(businessId, row, undefined));
}
