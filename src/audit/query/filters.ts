/** Which decisions are asked for: filters and time range as conditions on the columns of the log. */

import type { Knex } from 'knex';
import { z } from 'zod';
import { actionSchema, idSchema, ipSchema, momentSchema, searchText } from '../../input/scalars.ts';
import { type FilterField, SHOWN_COLUMNS } from '../columns.ts';
import type { Credential } from './credential.ts';

const ACTIONS = 'must be an action such as call:create, or all of a noun such as call:*';
const ALL_OF_A_NOUN = /^[a-z][a-z0-9_-]*(?::[a-z][a-z0-9_-]*)*:\*$/;

/**
 * What decisions can be filtered by, as parameters. Those that are given must all hold; each that is the field of a column
 * with `filter` is its equality, and `requestId` is that of either request, the client's or the caller's. Times are RFC 3339, from inclusive, to exclusive; without `from` the range is of 24 hours.
 */
export const decisionFilter = {
  apiKeyId: idSchema.optional(),
  userId: idSchema.optional(),
  businessId: idSchema.optional(),
  callerId: idSchema.optional(),
  action: z.union([actionSchema, z.string().max(128).regex(ALL_OF_A_NOUN)], { error: ACTIONS }).optional(),
  code: z
    .string()
    .regex(/^[A-Z][A-Z0-9_]{0,63}$/, 'must be a code such as USER_DISABLED')
    .optional(),
  effect: z.enum(['allow', 'deny'], 'must be allow or deny').optional(),
  rule: searchText(128).optional(),
  policy: z
    .string()
    .regex(/^(?:sha256:)?[0-9a-f]{8,64}$/, 'must be a policy digest, or its first 8 or more hex digits')
    .optional(),
  ip: ipSchema.optional(),
  requestId: searchText(128).optional(),
  traceId: z
    .string()
    .regex(/^[0-9a-f]{32}$/, 'must be the id of a trace: 32 hex digits in lower case')
    .optional(),
  from: momentSchema.optional(),
  to: momentSchema.optional(),
} satisfies Readonly<Record<FilterField | 'action' | 'policy' | 'from' | 'to', z.ZodType>>;

/** A filter that has passed its schema. */
export interface DecisionFilter extends Readonly<z.output<z.ZodObject<typeof decisionFilter>>> {
  /** What was asked with a credential while it was a key, and while it was none. */
  readonly credential?: Credential | undefined;
}

/** For the `refine` of each schema that contains decisionFilter. */
export const isInOrder = ({ from, to }: { from?: string | undefined; to?: string | undefined }): boolean =>
  from === undefined || to === undefined || from <= to;
export const notInOrder = { path: ['to'], message: 'must not be before from' };

/** The filter alone: of an export or a tail, which come as streams and have no pages. */
export const decisionRange = z.strictObject(decisionFilter).refine(isInOrder, notInOrder);

/** The half-open interval [from, to), in RFC 3339 and UTC. `to` is null where it has no end. */
export interface TimeRange {
  readonly from: string;
  readonly to: string | null;
}

const DAY_MS = 86_400_000;

/** The interval of a filter. `from` is by default 24 hours before `to`, or before now where there is no `to`. */
export function rangeOf({ from, to }: DecisionFilter): TimeRange {
  const end = to === undefined ? Date.now() : Date.parse(to);
  return { from: from ?? new Date(end - DAY_MS).toISOString(), to: to ?? null };
}

/** A piece of SQL, or a whole statement, with what is bound to its question marks. */
export interface BoundSql {
  readonly sql: string;
  readonly bindings: readonly (string | readonly string[])[];
}

/** The columns that decisions can be filtered by, with the index that leads to them. */
export const FILTER_COLUMNS = SHOWN_COLUMNS.filter(({ filter }) => filter).map(({ api, column, indexed }) => ({
  field: api as FilterField,
  column,
  indexed,
}));

const equal = (column: string, value: string): BoundSql => ({ sql: `${column} = ?`, bindings: [value] });

/**
 * The filter as alternatives, each of them conditions that must all hold; no decision is in two of them. There is more
 * than one only for a credential, each with an index of its own, which one condition with `or` would not have.
 */
export function alternativesOf(filter: DecisionFilter): BoundSql[][] {
  const conditions = FILTER_COLUMNS.flatMap(({ field, column }) => {
    const value = filter[field];
    if (value === undefined) return [];
    return [field === 'requestId' ? requestCondition(value) : equal(column, value)];
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

const requestCondition = (id: string): BoundSql => ({
  sql: '(request_id = ? or caller_request_id = ?)',
  bindings: [id, id],
});

const actionCondition = (action: string): BoundSql =>
  action.endsWith(':*') ? { sql: 'starts_with(action, ?)', bindings: [action.slice(0, -1)] } : equal('action', action);

const DIGITS = 64;
function policyCondition(policy: string): BoundSql {
  const digits = policy.replace('sha256:', '');
  return digits.length === DIGITS
    ? equal('policy', `sha256:${digits}`)
    : { sql: 'starts_with(policy, ?)', bindings: [`sha256:${digits}`] };
}

export const rangeConditions = ({ from, to }: TimeRange): BoundSql[] => [
  { sql: 'at >= ?', bindings: [from] },
  ...(to === null ? [] : [{ sql: 'at < ?', bindings: [to] }]),
];

/** All of the conditions, for a `where`. */
export const all = (conditions: readonly BoundSql[]): BoundSql => ({
  sql: conditions.map(({ sql }) => sql).join(' and '),
  bindings: conditions.flatMap(({ bindings }) => bindings),
});

/** The whole filter with its range, for the `where` of what reads all that it finds. */
export function whereOf(filter: DecisionFilter, range: TimeRange): BoundSql {
  const alternatives = alternativesOf(filter).map((conditions) => all([...conditions, ...rangeConditions(range)]));
  return {
    sql: alternatives.map(({ sql }) => `(${sql})`).join(' or ') || 'false',
    bindings: alternatives.flatMap(({ bindings }) => bindings),
  };
}

export const raw = <T>(db: Knex, { sql, bindings }: BoundSql): Knex.Raw<{ rows: T[] }> =>
  db.raw(sql, bindings as Knex.RawBinding[]);

/** The names of those of its filters that an index serves. */
export function indexedParts(filter: DecisionFilter): string[] {
  const columns = FILTER_COLUMNS.filter(({ field, indexed }) => {
    const value = filter[field];
    return value !== undefined && indexed !== undefined && (indexed === true || value !== indexed.except);
  });
  return [...(filter.credential === undefined ? [] : ['credential']), ...columns.map(({ field }) => field)];
}

const PLAIN = new Set(['from', 'to']);

/** Says which filters no index serves, so that a range of decisions was scanned for them; null where an index serves each. */
export function noteOf(filter: DecisionFilter, { from, to }: TimeRange): string | null {
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
