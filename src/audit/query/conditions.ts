/** Filters and time range as conditions on the columns of the log, in SQL. */

import type { Knex } from 'knex';
import { type DecisionFilter, FILTER_COLUMNS, PROPERTIES, type Property, type TimeRange } from './filters.ts';

/** A piece of SQL, or a whole statement, with what is bound to its question marks. */
export interface BoundSql {
  readonly sql: string;
  readonly bindings: readonly (string | readonly string[])[];
}

export const raw = <T>(db: Knex, { sql, bindings }: BoundSql): Knex.Raw<{ rows: T[] }> =>
  db.raw(sql, bindings as Knex.RawBinding[]);

/** The address of a record as inet; IPv4 that is mapped into IPv6 as IPv4. */
export const ADDRESS = `case when strpos(ip, ':') = 0 then ip::inet
  else regexp_replace(host(ip::inet), '^::ffff:(\\d+\\.\\d+\\.\\d+\\.\\d+)$', '\\1')::inet end`;

const equal = (column: string, value: string): BoundSql => ({ sql: `${column} = ?`, bindings: [value] });

/** Those that are not the equality of a column. */
const SPECIAL: Partial<Record<Property, (value: string) => BoundSql>> = {
  requestId: (id) => ({ sql: '(request_id = ? or caller_request_id = ?)', bindings: [id, id] }),
  action: (action) =>
    action.endsWith(':*')
      ? { sql: 'starts_with(action, ?)', bindings: [action.slice(0, -1)] }
      : equal('action', action),
  policy: policyCondition,
  ip: (network) => ({ sql: `(${ADDRESS}) <<= ?::inet`, bindings: [network] }),
  // Of the collation C, in which the letters A to Z alone have another case: of others it depends on the server.
  userAgent: (part) => ({ sql: 'strpos(lower(user_agent collate "C"), lower(? collate "C")) > 0', bindings: [part] }),
};

const DIGITS = 64;
function policyCondition(policy: string): BoundSql {
  const digits = policy.replace('sha256:', '');
  return digits.length === DIGITS
    ? equal('policy', `sha256:${digits}`)
    : { sql: 'starts_with(policy, ?)', bindings: [`sha256:${digits}`] };
}

const COLUMN_OF = new Map<string, string>(FILTER_COLUMNS.map(({ field, column }) => [field, column]));

function conditionOf(property: Property, value: string): BoundSql {
  const special = SPECIAL[property];
  if (special) return special(value);
  const column = COLUMN_OF.get(property);
  if (column === undefined) throw new Error(`no column is filtered by ${property}`);
  return equal(column, value);
}

/** Also where the column is null, of which no comparison is true. */
const negated = ({ sql, bindings }: BoundSql): BoundSql => ({ sql: `(${sql}) is not true`, bindings });

/**
 * The filter as alternatives, each of them conditions that must all hold; no decision is in two of them. There is more
 * than one only for a credential, each with an index of its own, which one condition with `or` would not have.
 */
export function alternativesOf(filter: DecisionFilter): BoundSql[][] {
  const conditions = PROPERTIES.flatMap((property) => {
    const value = filter[property];
    return value === undefined ? [] : [conditionOf(property, value)];
  });
  if (filter.withoutCredential) conditions.push({ sql: 'api_key_id is null and fingerprint is null', bindings: [] });
  if (filter.callerIds) conditions.push({ sql: 'caller_id = any (?)', bindings: [filter.callerIds] });
  for (const { property, value } of filter.not ?? []) conditions.push(negated(conditionOf(property, value)));
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
