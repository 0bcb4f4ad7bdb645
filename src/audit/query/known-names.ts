/** Refuses names that nothing here knows: a mistyped one would be answered with nothing, which looks like innocence. */

import type { Knex } from 'knex';
import { orFailure } from '../../db/failure.ts';
import type { Actor } from '../../db/mutate.ts';
import { listCallers } from '../../directory/callers.ts';
import type { Issue } from '../../errors.ts';
import { refused } from '../../input/json.ts';
import { nearestTo } from '../../nearest.ts';
import { UNMAPPED_RULE } from '../../policy/decide.ts';
import { namesOfPolicies } from '../../rollout/store.ts';
import { type Access, recordAccess } from '../access-log.ts';
import { all, type BoundSql, rangeConditions, raw } from './conditions.ts';
import { IN_ORDER } from './decisions.ts';
import { type DecisionFilter, PROPERTIES, type Property, rangeOf, type TimeRange } from './filters.ts';

/** Of a name that is not known: what to say of that, and what it may have been meant for, each as it is to be told. */
interface Unknown {
  readonly says: string;
  readonly known: ReadonlyMap<string, string>;
}
/** undefined: it is known. */
type Look = (db: Knex, name: string, range: TimeRange) => Promise<Unknown | undefined>;

/** How the properties are looked for whose values are names. */
const LOOKS: Partial<Readonly<Record<Property, Look>>> = {
  apiKeyId: (db, id) => lookForSubject(db, { kind: 'key', called: 'an API key', column: 'api_key_id' }, id),
  userId: (db, id) => lookForSubject(db, { kind: 'user', called: 'a user', column: 'user_id' }, id),
  businessId: (db, id) => lookForSubject(db, { kind: 'business', called: 'a business', column: 'business_id' }, id),
  callerId: lookForCaller,
  code: lookForCode,
  rule: lookForRule,
};

/**
 * Looks for each name that a filter has. To refuse one tells of the directory and the log, too: so that leaves the event of the access
 * that it would have been, with the filters at fault as its `unknown`.
 * @throws Failure INVALID_REQUEST: neither the directory, nor a policy, nor the log knows it; UNAVAILABLE or DEADLINE_EXCEEDED
 */
export async function requireKnown(
  db: Knex,
  actor: Actor,
  access: Exclude<Access, 'show'>,
  filter: DecisionFilter,
): Promise<void> {
  const range = rangeOf(filter);
  const issues: Issue[] = [];
  for (const [path, property, name] of namesIn(filter)) {
    const unknown = await LOOKS[property]?.(db, name, range);
    if (unknown !== undefined) issues.push({ path, message: messageOf(name, unknown) });
  }
  if (issues.length === 0) return;
  await recordAccess(db, actor, access, { ...filter, from: range.from, unknown: issues.map(({ path }) => path) });
  throw refused(issues);
}

/** All properties with what they are to be, or not to be, and where that stands. */
function* namesIn(filter: DecisionFilter): Generator<[path: string, Property, name: string]> {
  for (const property of PROPERTIES) {
    const name = filter[property];
    if (name !== undefined) yield [property, property, name];
  }
  for (const { property, value } of filter.not ?? []) yield [`not.${property}`, property, value];
}

function messageOf(name: string, { says, known }: Unknown): string {
  const nearest = nearestTo(name, [...known.keys()]);
  return nearest === undefined ? says : `${says}; did you mean ${known.get(nearest)}?`;
}

const asTheyAre = (names: Iterable<string>): Map<string, string> => new Map([...names].map((name) => [name, name]));

interface Kind {
  readonly kind: 'key' | 'user' | 'business' | 'caller';
  readonly called: string;
  /** Of the log, with an index. */
  readonly column: string;
}

/** One that was deleted is known by the events of its life; one that only ever was asked about, by the decisions on it. */
async function lookForSubject(db: Knex, { kind, called, column }: Kind, id: string): Promise<Unknown | undefined> {
  if ((await isInDirectory(db, kind, id)) || (await isInLog(db, column, id))) return undefined;
  const says = `neither the directory nor the log knows ${called} of this id`;
  return { says, known: asTheyAre(await idsNear(db, kind, id)) };
}

/** By no index, so in the time range alone; that reads no more than the question itself would. */
async function lookForCaller(db: Knex, id: string, range: TimeRange): Promise<Unknown | undefined> {
  if ((await isInDirectory(db, 'caller', id)) || (await holds(db, inRange(range, 'caller_id = ?', id))))
    return undefined;
  const callers = await listCallers(db);
  const names = callers.map((caller) => [caller.name, `${caller.name} (${caller.id})`] as const);
  const known = new Map([...names, ...asTheyAre(callers.map((caller) => caller.id))]);
  return { says: `no caller of this id is known, and none asked ${textOf(range)}`, known };
}

async function lookForCode(db: Knex, code: string): Promise<Unknown | undefined> {
  const others = await othersOfPolicies(db, 'code', code);
  if (others === undefined || (await isInLog(db, 'code', code))) return undefined;
  return { says: 'no policy that was live here has this code, nor has a decision', known: asTheyAre(others) };
}

/** Known, too, where a policy decided in the time range that is not kept (in a restored database): the rule may have been one of it. */
async function lookForRule(db: Knex, rule: string, range: TimeRange): Promise<Unknown | undefined> {
  const others = rule === UNMAPPED_RULE ? undefined : await othersOfPolicies(db, 'rule', rule);
  if (others === undefined) return undefined;
  const { sql, bindings } = inRange(range, '(rule = ? or policy not in (select digest from policies))', rule);
  const elsewhere = {
    sql: `exists (select from situations where last_day >= (?::timestamptz at time zone 'UTC')::date
        and policy not in (select digest from policies)) or ${sql}`,
    bindings: [range.from, ...bindings],
  };
  if (await holds(db, elsewhere)) return undefined;
  const says = `no policy that was live here has a rule of this name, and none decided ${textOf(range)}`;
  return { says, known: asTheyAre(others) };
}

const textOf = ({ from, to }: TimeRange): string => `from ${from} to ${to ?? 'now'}`;

/** The names of all policies that are kept; undefined: it is one of them, or none is kept, as before the first start. */
async function othersOfPolicies(db: Knex, field: 'code' | 'rule', name: string): Promise<Set<string> | undefined> {
  const names = new Set<string>();
  for await (const rows of namesOfPolicies(db)) {
    for (const row of rows) names.add(row[field]);
    if (names.has(name)) return undefined;
  }
  return names.size === 0 ? undefined : names;
}

const isInDirectory = (db: Knex, kind: Kind['kind'], id: string): Promise<boolean> =>
  holds(db, {
    sql: `exists (select from audited_ids where kind = '${kind}' and id = ?)
      or exists (select from admin_events where subject_kind = '${kind}' and subject_id = ?)`,
    bindings: [id, id],
  });

/** In all of the log, by the index of the column, of whose entries in each day one is looked at at most. */
const isInLog = (db: Knex, column: string, value: string): Promise<boolean> =>
  orFailure(
    db.transaction(
      async (trx) => {
        await trx.raw(IN_ORDER);
        return holds(trx, { sql: `exists (select from decision_records where ${column} = ?)`, bindings: [value] });
      },
      { readOnly: true },
    ),
  );

function inRange(range: TimeRange, condition: string, value: string): BoundSql {
  const { sql, bindings } = all([...rangeConditions(range), { sql: condition, bindings: [value] }]);
  return { sql: `exists (select from decision_records where ${sql})`, bindings };
}

async function holds(db: Knex, { sql, bindings }: BoundSql): Promise<boolean> {
  const { rows } = await orFailure(raw<{ holds: boolean }>(db, { sql: `select ${sql} as holds`, bindings }));
  return rows[0]?.holds === true;
}

/** On each side of an id: enough for a slip of the finger, in a directory of any size. */
const NEAR = 1000;

/** Ids of the directory, and those of what was deleted: all, or of very many those around this one in their order. */
async function idsNear(db: Knex, kind: Kind['kind'], id: string): Promise<string[]> {
  const around = (table: string, kindColumn: string, column: string): string[] =>
    [`>= ? order by ${column}`, `< ? order by ${column} desc`].map(
      (side) =>
        `(select ${column} as id from ${table} where ${kindColumn} = '${kind}' and ${column} ${side} limit ${NEAR})`,
    );
  const sides = [...around('audited_ids', 'kind', 'id'), ...around('admin_events', 'subject_kind', 'subject_id')];
  const sql = `select distinct id from (${sides.join(' union all ')}) as near order by id`;
  const { rows } = await orFailure(raw<{ id: string }>(db, { sql, bindings: sides.map(() => id) }));
  return rows.map((row) => row.id);
}
