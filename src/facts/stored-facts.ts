/**
 * Where the facts of a key, its user and a target are stored: an SQL expression for each, and the statement made of them. What is
 * stored is the same for every policy; what it comes to under one, with the attributes and roles that it declares, is not said here.
 */

import { databaseFailure } from '../db/failure.ts';
import type { StoredAttributes } from '../policy/declared/declaration.ts';
import { closed, type Facts } from '../policy/facts.ts';

/** Which facts are stored. The id of the target is that of the question. */
interface Stored {
  readonly key: Facts['key'];
  readonly user: Facts['user'];
  readonly target: Omit<Facts['target'], 'id'>;
}

/**
 * In the terms of LOAD_FACTS. A fact of these groups that has no expression does not compile. Each is spelled out as a value
 * that `decide` checks; none is inferred from a NULL. Expiry is by the database's clock, so that all processes agree on it.
 */
const EXPRESSIONS: { readonly [G in keyof Stored]: { readonly [F in keyof Stored[G]]: string } } = {
  key: {
    id: 'k.id',
    status: `case when k.revoked_at is not null then 'revoked' when k.expires_at <= now() then 'expired' else 'active' end`,
    userManagement: 'k.allow_user_management',
    environment: 'k.environment',
  },
  user: {
    id: `coalesce(u.id, '')`,
    status: `case when u.id is null then 'unknown' when u.disabled_at is not null then 'disabled' else 'active' end`,
    businesses: `case when u.businesses_disabled_at is not null then 'disabled' else 'active' end`,
  },
  target: {
    status: `case when b.id is null then 'unknown' when b.disabled_at is not null then 'disabled' else 'active' end`,
    role: `case when m.user_id is null then 'none' else m.role end`,
    inRestriction: 'asked.business_id is not null and (not k.restricted or r.key_id is not null)',
  },
};

/** Whose attributes a row has, by the aliases of LOAD_FACTS. */
const ATTRIBUTES = { key: 'k', user: 'u', target: 'b' } as const;
type Attributed = keyof typeof ATTRIBUTES;

/** The attributes of a key, its user and a target, as they are stored. */
export type Attributes = { readonly [G in Attributed]: StoredAttributes };

const COLUMNS = Object.fromEntries(
  Object.entries(EXPRESSIONS).map(([group, facts]) => [
    group,
    Object.keys(facts).map((fact) => [fact, `${group}.${fact}`]),
  ]),
) as unknown as Readonly<Record<keyof Stored, readonly (readonly [fact: string, column: string])[]>>;

type Columns = {
  [G in keyof Stored]: { [F in keyof Stored[G] & string as `${G}.${F}`]: Stored[G][F] };
};

/** A row of LOAD_FACTS, with a column such as `key.status` for each stored fact. */
export interface StoredRow
  extends Readonly<Columns['key']>,
    Readonly<Columns['user']>,
    Readonly<Columns['target']>,
    Readonly<Record<`${Attributed}_attributes`, string | null>> {
  /** The highest change number in the statement's snapshot. */
  readonly seq: number;
  readonly standby: boolean;
  /** The index of the question; null in the one row that is returned when no key was found. */
  readonly asked: number | null;
  readonly digest: Buffer | null;
  readonly user_reason: string | null;
  readonly target_reason: string | null;
  readonly limit_requests: number | null;
  readonly limit_window_seconds: number | null;
  /** Milliseconds since 1970, by the database's clock; null: never. */
  readonly expires: number | null;
}

/** The stored facts of a group, closed. They are as PostgreSQL returned them: `decide` checks them. */
export function storedGroup<G extends keyof Stored>(group: G, row: StoredRow): Stored[G] {
  const facts: Record<string, unknown> = {};
  for (const [fact, column] of COLUMNS[group]) {
    const value = (row as unknown as Record<string, unknown>)[column];
    facts[fact] = fact === 'id' || typeof value !== 'string' ? value : sharedText(value);
  }
  return closed(facts) as unknown as Stored[G];
}

/** Statuses, roles and environments: the driver makes a text anew for each row, and there are few different ones. */
const texts = new Map<string, string>();
const MAX_TEXTS = 1000;

function sharedText(text: string): string {
  const known = texts.get(text);
  if (known !== undefined) return known;
  if (texts.size >= MAX_TEXTS) texts.clear();
  texts.set(text, text);
  return text;
}

const NO_ATTRIBUTES: StoredAttributes = closed({});

/** Of a key of which nothing is known, and of what has none. */
export const WITHOUT_ATTRIBUTES: Attributes = closed({
  key: NO_ATTRIBUTES,
  user: NO_ATTRIBUTES,
  target: NO_ATTRIBUTES,
});

/** The attributes of a row, frozen. @throws Failure UNAVAILABLE: they are no JSON objects */
export function storedAttributes(row: StoredRow): Attributes {
  const { key_attributes: key, user_attributes: user, target_attributes: target } = row;
  if (key === null && user === null && target === null) return WITHOUT_ATTRIBUTES;
  return closed({ key: readAttributes(key), user: readAttributes(user), target: readAttributes(target) });
}

function readAttributes(text: string | null): StoredAttributes {
  if (text === null) return NO_ATTRIBUTES;
  // To take anything else for no attributes would be a guess.
  if (typeof text !== 'string' || !text.startsWith('{')) throw noObject();
  try {
    const attributes = JSON.parse(text) as StoredAttributes;
    for (const value of Object.values(attributes)) Object.freeze(value);
    return closed(attributes);
  } catch (cause) {
    throw noObject(cause);
  }
}

const noObject = (cause?: unknown) => databaseFailure(new Error('stored attributes are no JSON object', { cause }));

/** Measured memory of an object of attributes, and of each character of its JSON. */
const OBJECT_BYTES = 300;
const CHARACTER_BYTES = 3;

/** The memory that the attributes of a row take. */
export const attributeBytes = (row: StoredRow): number =>
  [row.key_attributes, row.user_attributes, row.target_attributes].reduce(
    (sum, text) => sum + (text === null ? 0 : OBJECT_BYTES + CHARACTER_BYTES * text.length),
    0,
  );

/**
 * Whose rate limit holds, by the aliases of LOAD_FACTS: that of the first which has one, the key before its user; where neither
 * has, the default (RATE_LIMIT). A CHECK of both tables makes the two halves of a limit NULL together, so limits never mix.
 */
const LIMIT_OWNERS = ['k', 'u'];
const limitPart = (part: string): string =>
  `coalesce(${LIMIT_OWNERS.map((owner) => `${owner}.rate_limit_${part}`)}) as limit_${part}`;

/** The select list of what is stored, and the joins behind `from`, which has `asked` (number, business_id) and the key as `k`. */
export const selectFacts = (from: string): string => `
  select asked.number as asked, k.digest, extract(epoch from k.expires_at)::float8 * 1000 as expires,
    ${Object.entries(EXPRESSIONS)
      .flatMap(([group, facts]) => Object.entries(facts).map(([fact, sql]) => `${sql} as "${group}.${fact}"`))
      .join(',\n    ')},
    u.disabled_reason as user_reason, b.disabled_reason as target_reason,
    ${limitPart('requests')}, ${limitPart('window_seconds')},
    ${Object.entries(ATTRIBUTES).map(([group, owner]) => `nullif(${owner}.attributes, '{}')::text as ${group}_attributes`)}
  ${from}
  left join users u on u.id = k.user_id
  left join businesses b on b.id = asked.business_id
  left join business_members m on m.business_id = b.id and m.user_id = u.id
  left join api_key_businesses r on r.key_id = k.id and r.business_id = b.id`;

/**
 * Bindings: for each digest the index of its question, the digest, and the business that is asked about or null.
 * The left join from change_counter returns the snapshot's change number even when no key is found.
 */
export const LOAD_FACTS = `
  select feed.last::float8 as seq, pg_is_in_recovery() as standby, found.*
  from change_counter feed left join (
  ${selectFacts(`from unnest(?::int[], ?::bytea[], ?::text[]) as asked (number, digest, business_id)
  join api_keys k on k.digest = asked.digest`)}
  ) found on true`;
