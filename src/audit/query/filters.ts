/** Which decisions are asked for: filters and time range as conditions on the columns of the log. */

import type { Knex } from 'knex';
import type { Credential } from './credential.ts';

/** Those that are given must all hold. They have passed their schemas (input/resources.ts). */
export interface DecisionFilter {
  readonly apiKeyId?: string | undefined;
  readonly userId?: string | undefined;
  readonly businessId?: string | undefined;
  readonly callerId?: string | undefined;
  /** An action, or all of a noun: `call:*`. */
  readonly action?: string | undefined;
  readonly code?: string | undefined;
  readonly effect?: 'allow' | 'deny' | undefined;
  readonly rule?: string | undefined;
  /** A digest or the beginning of one, with or without `sha256:`. */
  readonly policy?: string | undefined;
  readonly ip?: string | undefined;
  readonly requestId?: string | undefined;
  /** RFC 3339; from inclusive, to exclusive. */
  readonly from?: string | undefined;
  readonly to?: string | undefined;
  /** What was asked with a credential while it was a key, and while it was none. */
  readonly credential?: Credential | undefined;
}

/** `to` is null where the range goes on. */
export interface Range {
  readonly from: string;
  readonly to: string | null;
}

const DAY_MS = 86_400_000;

/** The range that is meant: 24 hours, up to `to` or now, unless it says where it begins. */
export function rangeOf({ from, to }: DecisionFilter): Range {
  const end = to === undefined ? Date.now() : Date.parse(to);
  return { from: from ?? new Date(end - DAY_MS).toISOString(), to: to ?? null };
}

/** What can be bound in a statement. */
type Bound = string | readonly string[];
export interface Condition {
  readonly sql: string;
  readonly bindings: readonly Bound[];
}

const EQUAL = {
  apiKeyId: 'api_key_id',
  userId: 'user_id',
  businessId: 'business_id',
  callerId: 'caller_id',
  code: 'code',
  effect: 'effect',
  rule: 'rule',
  ip: 'ip',
  requestId: 'request_id',
} as const;

const equal = (column: string, value: string): Condition => ({ sql: `${column} = ?`, bindings: [value] });

/**
 * The filter as alternatives, each of them conditions that must all hold; no decision is in two of them. There is more
 * than one only for a credential, each with an index of its own, which one condition with `or` would not have.
 */
export function alternativesOf(filter: DecisionFilter): Condition[][] {
  const conditions = Object.entries(EQUAL).flatMap(([name, column]) => {
    const value = filter[name as keyof typeof EQUAL];
    return value === undefined ? [] : [equal(column, value)];
  });
  if (filter.action !== undefined) conditions.push(actionCondition(filter.action));
  if (filter.policy !== undefined) conditions.push(policyCondition(filter.policy));
  if (filter.credential === undefined) return [conditions];
  const { apiKeyIds, fingerprints } = filter.credential;
  const ways = [
    ...apiKeyIds.map((id) => equal('api_key_id', id)),
    ...fingerprints.map((fingerprint) => ({
      sql: 'fingerprint = ? and api_key_id is null',
      bindings: [fingerprint],
    })),
  ];
  return ways.map((way) => [way, ...conditions]);
}

const actionCondition = (action: string): Condition =>
  action.endsWith(':*') ? { sql: 'starts_with(action, ?)', bindings: [action.slice(0, -1)] } : equal('action', action);

const DIGITS = 64;
function policyCondition(policy: string): Condition {
  const digits = policy.replace('sha256:', '');
  return digits.length === DIGITS
    ? equal('policy', `sha256:${digits}`)
    : { sql: 'starts_with(policy, ?)', bindings: [`sha256:${digits}`] };
}

export const rangeConditions = ({ from, to }: Range): Condition[] => [
  { sql: 'at >= ?', bindings: [from] },
  ...(to === null ? [] : [{ sql: 'at < ?', bindings: [to] }]),
];

/** All of the conditions, for a `where`. */
export const all = (conditions: readonly Condition[]): Condition => ({
  sql: conditions.map(({ sql }) => sql).join(' and '),
  bindings: conditions.flatMap(({ bindings }) => bindings),
});

/** The whole filter with its range as one condition, for what reads all that it finds. */
export function conditionOf(filter: DecisionFilter, range: Range): Condition {
  const alternatives = alternativesOf(filter).map((conditions) => all([...conditions, ...rangeConditions(range)]));
  return {
    sql: alternatives.map(({ sql }) => `(${sql})`).join(' or ') || 'false',
    bindings: alternatives.flatMap(({ bindings }) => bindings),
  };
}

export const raw = <Row>(db: Knex, { sql, bindings }: Condition): Knex.Raw<{ rows: Row[] }> =>
  db.raw(sql, bindings as Knex.RawBinding[]);

/** By which of its parts an index finds decisions. Code OK has none, since most decisions are OK. */
export function indexedParts(filter: DecisionFilter): string[] {
  const named = (['apiKeyId', 'credential', 'userId', 'businessId'] as const).filter(
    (name) => filter[name] !== undefined,
  );
  return [...named, ...(filter.code !== undefined && filter.code !== 'OK' ? ['code'] : [])];
}

const PLAIN = new Set(['from', 'to']);

/** What the asker should know of how far the search went; null where an index leads straight to what is asked for. */
export function noteOf(filter: DecisionFilter, { from, to }: Range): string | null {
  const given = Object.entries(filter)
    .filter(([name, value]) => value !== undefined && !PLAIN.has(name))
    .map(([name]) => name);
  const indexed = indexedParts(filter);
  const searched = given.filter((name) => !indexed.includes(name));
  if (searched.length === 0) return null;
  const range = `from ${from} to ${to ?? 'now'}`;
  const among = indexed.length > 0 ? `decisions of this ${indexed.join(' and ')}` : 'decisions';
  return `No index serves ${searched.join(' and ')}: all ${among} ${range} were searched. A narrower range is faster.`;
}
