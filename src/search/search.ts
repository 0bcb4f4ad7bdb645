/**
 * Who may do this here, and where may this one do it: exact, and in pages that cost the same among ten and a million. The rows decide each
 * class of candidates once (classes.ts); one statement then finds those of the classes that are allowed, in the order of their ids.
 *
 * Nothing is decided about anybody, so nothing is recorded as a decision and no point of a limit is used; each page leaves an admin event.
 */

import type { Knex } from 'knex';
import { orFailure, requirePrimary } from '../db/failure.ts';
import type { Named } from '../facts/load-named.ts';
import { patternsOf } from '../policy/action-patterns.ts';
import type { Policy } from '../policy/decide.ts';
import { runInTurn } from '../policy/time-slices.ts';
import { type Allowed, allowedClasses, BETWEEN, type SearchQuestion } from './classes.ts';
import { type Dimension, dimensionsOf, type Part } from './dimensions.ts';

/** What a page begins behind, and how long it is. */
export interface Place {
  /** Ids as in the last row; undefined: the start. */
  readonly after: readonly string[] | undefined;
  readonly limit: number;
}

/** The rows of a page and one more, where there is one: each has the ids that it is found by, and the last of these is the result. */
export type Found = readonly (readonly string[])[];

interface Search {
  readonly db: Knex;
  readonly policy: Policy;
  readonly question: Omit<SearchQuestion, 'onBusiness'>;
  readonly place: Place;
}

/** What keeps a candidate out whatever the rows say. */
const LIVE = 'k.revoked_at is null and (k.expires_at is null or k.expires_at > now()) and u.disabled_at is null';

/** Bindings: the patterns that the action matches. */
const FROZEN = `
  frozen as materialized (
    select key_id, user_id, business_id from freezes
    where lifted_at is null and until > now() and (action is null or action = any(?::text[]))
  )`;

const notFrozen = (business: string): string => `not exists (
    select from frozen f where (f.key_id is null or f.key_id = k.id) and (f.user_id is null or f.user_id = u.id) and ${business})`;
const ON_BUSINESS = notFrozen('(f.business_id is null or f.business_id = b.id)');
const ON_ACCOUNT = notFrozen('f.business_id is null');

/**
 * The keys, or the users one of whose keys, may do it on a business, or (undefined) on their account.
 * @throws Failure INVALID_REQUEST: too many classes; UNAVAILABLE or DEADLINE_EXCEEDED
 */
export async function searchSubjects(
  { db, policy, question, place }: Search,
  type: 'api_key' | 'user',
  businessId: string | undefined,
): Promise<Found> {
  const onBusiness = businessId !== undefined;
  const dimensions = dimensionsIn(policy, question, onBusiness);
  const target = onBusiness
    ? await valuesOf(db, dimensions, ['target'], 'businesses b where b.id = ?', [businessId])
    : [];
  if (!target) return [];
  const classes = await decided(policy, narrowed(dimensions, target), { ...question, onBusiness });
  if (classes.length === 0) return [];
  const members = onBusiness && classes.every(hasRole);
  const first = members ? 'm.user_id' : 'u.id';
  const from = !onBusiness
    ? 'users u'
    : members
      ? 'business_members m join users u on u.id = m.user_id join businesses b on b.id = m.business_id and b.id = ?'
      : 'users u join businesses b on b.id = ? left join business_members m on m.user_id = u.id and m.business_id = b.id';
  const fits = `${LIVE} and ${isAllowed(dimensions)} and ${onBusiness ? ON_BUSINESS : ON_ACCOUNT}`;
  const [user = '', key = ''] = place.after ?? [];
  const [patterns, signatures] = [patternsOf(question.action), classes.map(({ signature }) => signature)];
  const business = onBusiness ? [businessId] : [];
  if (type === 'user')
    return find(
      db,
      `with ${FROZEN} select u.id as one from ${from}
       where ${first} > ? and exists (select from api_keys k where k.user_id = u.id and ${fits}) order by ${first} limit ?`,
      [patterns, ...business, user, signatures, place.limit + 1],
    );
  return find(
    db,
    `with ${FROZEN} select u.id as one, k.id as other from ${from} join api_keys k on k.user_id = u.id
     where ${first} >= ? and (${first}, k.id) > (?, ?) and ${fits} order by ${first}, k.id limit ?`,
    [patterns, ...business, user, user, key, signatures, place.limit + 1],
  );
}

/** The businesses on which a key, or one of the keys of a user, may do it. @throws as `searchSubjects` */
export async function searchBusinesses({ db, policy, question, place }: Search, named: Named): Promise<Found> {
  const dimensions = dimensionsIn(policy, question, true);
  const [parts, from, id] = ((): readonly [Part[], string, string] => {
    if ('userId' in named) return [['user'], 'users u where u.disabled_at is null and u.id = ?', named.userId];
    return [['key', 'user'], `api_keys k join users u on u.id = k.user_id where ${LIVE} and k.id = ?`, named.keyId];
  })();
  const more = ['u.id as user_id', ...('keyId' in named ? ['k.restricted as restricted'] : [])];
  const subject = await valuesOf(db, dimensions, parts, from, [id], ...more);
  if (!subject) return [];
  const classes = await decided(policy, narrowed(dimensions, subject), { ...question, onBusiness: true });
  if (classes.length === 0) return [];
  const members = classes.every(hasRole);
  const [userId, restricted] = [USER, 'restricted'].map((name) => subject.find(([path]) => path === name)?.[1] ?? '');
  // A key with a restriction reaches few of what its user may be a member of.
  const listed = restricted === 'true' && classes.every(({ values }) => values.get('r.target.inRestriction') === true);
  const first = listed ? 'l.business_id' : members ? 'm.business_id' : 'b.id';
  const businesses = listed
    ? `api_key_businesses l join businesses b on b.id = l.business_id join users u on u.id = ?
       left join business_members m on m.business_id = b.id and m.user_id = u.id`
    : members
      ? 'business_members m join businesses b on b.id = m.business_id join users u on u.id = m.user_id and u.id = ?'
      : 'businesses b join users u on u.id = ? left join business_members m on m.business_id = b.id and m.user_id = u.id';
  const keys = 'keyId' in named ? 'k.user_id = u.id and k.id = ?' : 'k.user_id = u.id';
  const fits = `${LIVE} and ${isAllowed(dimensions)} and ${ON_BUSINESS}`;
  return find(
    db,
    `with ${FROZEN} select b.id as one from ${businesses}
     where ${listed ? 'l.key_id = ? and ' : ''}${first} > ? and exists (select from api_keys k where ${keys} and ${fits})
     order by ${first} limit ?`,
    [
      patternsOf(question.action),
      userId,
      ...(listed ? [id] : []),
      place.after?.[0] ?? '',
      ...('keyId' in named ? [named.keyId] : []),
      classes.map(({ signature }) => signature),
      place.limit + 1,
    ],
  );
}

/** Those that may tell candidates apart. Of an account there is no business to tell them apart by. */
const dimensionsIn = (policy: Policy, question: Search['question'], onBusiness: boolean): readonly Dimension[] =>
  dimensionsOf(policy, question.action, question.stored).filter(
    ({ of }) => onBusiness || of === 'key' || of === 'user',
  );

const decided = (
  policy: Policy,
  dimensions: readonly Dimension[],
  question: SearchQuestion,
): Promise<readonly Allowed[]> => runInTurn(allowedClasses(policy, dimensions, question));

/** Whether only members are in a class: where rows do not ask for the role, anybody is. */
const hasRole = ({ values }: Allowed): boolean => (values.get('r.target.role') ?? 'none') !== 'none';

/**
 * Bindings: the signatures that are allowed. As a CASE the planner takes it to hold of every second candidate, and so reads them in order until
 * the page is full; as a comparison it would hold of one in two hundred, and all candidates would be read and sorted.
 */
const isAllowed = (dimensions: readonly Dimension[]): string =>
  `case when concat_ws('${BETWEEN}', ${["''", ...dimensions.map(({ sql }) => sql)].slice(dimensions.length && 1).join(', ')}) = any(?::text[])
    then true else false end`;

const USER = 'user_id';

/** What is stored of what the question names, by the paths of its dimensions; undefined: it is not there, or not active. */
async function valuesOf(
  db: Knex,
  dimensions: readonly Dimension[],
  parts: readonly Part[],
  from: string,
  bindings: readonly string[],
  ...more: readonly string[]
): Promise<readonly (readonly [path: string, value: string])[] | undefined> {
  const of = dimensions.filter((dimension) => parts.includes(dimension.of));
  const columns = [...of.map(({ sql, path }) => `${sql} as "${path}"`), ...more, 'pg_is_in_recovery() as standby'];
  const { rows } = await orFailure(
    db.raw<{ rows: Record<string, unknown>[] }>(`select ${columns.join(', ')} from ${from}`, [...bindings]),
  );
  const [row] = rows;
  if (!row) return undefined;
  requirePrimary(row['standby']);
  return Object.entries(row).flatMap(([path, value]) => (path === 'standby' ? [] : [[path, String(value)] as const]));
}

/** With only the values that what the question names has. The statement that finds candidates looks at it again. */
function narrowed(
  dimensions: readonly Dimension[],
  known: readonly (readonly [path: string, value: string])[],
): readonly Dimension[] {
  const values = new Map(known);
  return dimensions.map((dimension) => {
    const value = values.get(dimension.path);
    return value === undefined
      ? dimension
      : { ...dimension, values: dimension.values.filter((one) => String(one) === value) };
  });
}

async function find(db: Knex, sql: string, bindings: readonly unknown[]): Promise<Found> {
  const { rows } = await orFailure(
    db.raw<{ rows: { one: string; other?: string }[] }>(sql, bindings as Knex.RawBinding[]),
  );
  return rows.map(({ one, other }) => (other === undefined ? [one] : [one, other]));
}
