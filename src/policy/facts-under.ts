/**
 * The facts of a question under a policy: what is stored and what was asked, as far as the policy's schema declares it. What is
 * missing, or not declared, is unknown or false, never an error and never a guess.
 *
 * Groups are interned: the same values are the same frozen object from one decision to the next, because the memo of decisions and
 * the texts of records are kept by identity.
 */

import { Failure } from '../errors.ts';
import { type DeclaredAttributes, GROUP_OF_OWNER, type StoredAttributes } from './declared/declaration.ts';
import type { ScheduleSpan } from './declared/schedules.ts';
import { factsOfAttributes, UNKNOWN } from './declared/table.ts';
import { closed, type Facts, fits, type Group, groupFrom } from './facts.ts';
import type { Schema } from './schema.ts';

/** What a calling service states in `context.attributes`. */
export type AskedAttributes = Readonly<Record<string, string | boolean>>;

/** What facts come of beside what is stored. */
export interface Asked {
  readonly action: string;
  /** The client's address, where it is stated. */
  readonly ip: string | undefined;
  readonly attributes: AskedAttributes | undefined;
  /** Facts of the group `asked`, by name, that are what is stored, where `attributes` does not state them. */
  readonly stored?: ReadonlyMap<string, StoredSource> | undefined;
  /** Milliseconds since 1970, by the database's clock; undefined: not known. */
  readonly moment: number | undefined;
  /** Whether the key is named by an id, its own or its user's, and not shown; default: false. */
  readonly byId?: boolean | undefined;
}

/** A declared attribute: of the first of these owners that has it. */
export interface StoredSource {
  readonly owners: readonly (keyof typeof GROUP_OF_OWNER)[];
  readonly name: string;
}

/** What the facts of a decision come from; the same `stored` objects give the same groups. */
export interface Stored extends StoredGroups {
  /** The attributes of each, as they are stored. */
  readonly stored: Readonly<Record<keyof StoredGroups, StoredAttributes>>;
}

// Spelled out, as `request` is below: a fact that is added to these groups must not compile until it has a value.
const WITHIN_LIMIT: Facts['limit'] = closed({ exceeded: false });
const NOT_FROZEN: Facts['freeze'] = closed({ active: false });

/**
 * The facts of a question under the policy of `schema`, within its limit and not frozen.
 * @throws Failure UNAVAILABLE: the schema has schedules, and the moment is not known
 */
export function factsUnder(schema: Schema, stored: Stored, asked: Asked): Facts {
  const { storedGroups, requestGroup, askedGroup } = groupsOf(schema);
  const { key, user, target } = storedGroups(stored);
  const request = requestGroup(asked.action, asked.ip !== undefined, asked.byId === true);
  const facts: Record<string, unknown> = { key, user, target, limit: WITHIN_LIMIT, request, freeze: NOT_FROZEN };
  if (schema.declaration.networks.length > 0) facts['network'] = schema.networks.groupAt(asked.ip);
  if (schema.declaration.schedules.length > 0) facts['schedule'] = momentOf(schema, asked.moment).group;
  if (askedGroup)
    facts['asked'] = askedGroup(asked.stored ? withStored(schema, asked, { key, user, target }) : asked.attributes);
  return closed(facts) as unknown as Facts;
}

/** What is asked, with what is stored of the rest. */
function withStored(
  { declaration }: Schema,
  { attributes, stored = new Map() }: Asked,
  groups: StoredGroups,
): AskedAttributes {
  const all: Record<string, string | boolean> = { ...attributes };
  for (const [asked, { owners, name }] of stored) {
    if (Object.hasOwn(all, asked)) continue;
    // A built-in fact of this name is no attribute.
    const values = owners.flatMap((owner) =>
      declaration.attributes[owner].has(name) ? [(groups[GROUP_OF_OWNER[owner]] as unknown as Group)[name]] : [],
    );
    const value = values.find((one) => typeof one === 'string' && one !== UNKNOWN);
    if (typeof value === 'string') all[asked] = value;
  }
  return all;
}

function momentOf(schema: Schema, moment: number | undefined): ScheduleSpan {
  if (moment !== undefined) return spanAt(schema, moment);
  throw new Failure('UNAVAILABLE', undefined, { cause: new Error('the moment of the decision is not known') });
}

/** What `moment` lies in. @throws what `at` of the schedules throws */
export const spanAt = (schema: Schema, moment: number): ScheduleSpan => groupsOf(schema).span(moment);

/** Measured memory of a group that is made under a schema, and of each attribute in it. Groups of grants are shared. */
const GROUP_BYTES = 300;
const ATTRIBUTE_BYTES = 75;

/** The memory of what `factsUnder` makes of each `stored`, and keeps as long as it. */
export const bytesUnder = ({ declaration: { attributes } }: Schema): number =>
  Object.values(attributes).reduce((sum, { size }) => sum + (size === 0 ? 0 : GROUP_BYTES + ATTRIBUTE_BYTES * size), 0);

/** What a question states of what a schema declares as asked; the same values are the same group. Undefined: it declares nothing. */
export const askedUnder = (schema: Schema, attributes: AskedAttributes | undefined): Group | undefined =>
  groupsOf(schema).askedGroup?.(attributes);

type StoredGroups = Pick<Facts, 'key' | 'user' | 'target'>;

/** What makes and keeps the groups of one schema. */
interface Groups {
  readonly storedGroups: (stored: Stored) => StoredGroups;
  readonly requestGroup: (action: string, addressed: boolean, byId: boolean) => Facts['request'];
  /** Undefined where the schema declares nothing that is asked. */
  readonly askedGroup: ((attributes: AskedAttributes | undefined) => Group) | undefined;
  readonly span: (moment: number) => ScheduleSpan;
}

const bySchema = new WeakMap<Schema, Groups>();

function groupsOf(schema: Schema): Groups {
  const known = bySchema.get(schema);
  if (known) return known;
  const { asked } = schema.declaration;
  const groups = {
    storedGroups: storedGroupsOf(schema),
    requestGroup: requestGroupsOf(schema),
    askedGroup: asked.size === 0 ? undefined : askedGroupsOf(asked),
    span: spansOf(schema),
  };
  bySchema.set(schema, groups);
  return groups;
}

function storedGroupsOf({ declaration: { attributes }, paths }: Schema): Groups['storedGroups'] {
  const made = new WeakMap<Stored, StoredGroups>();
  const roles = paths.get('r.target.role') ?? [];
  const declared = {
    key: attributeValues(attributes.key),
    user: attributeValues(attributes.user),
    target: attributeValues(attributes.business),
  };
  const isPlain = Object.values(declared).every((facts) => facts.length === 0);
  const withAttributes = <G extends Group>(group: G, facts: readonly AttributeValue[], stored: StoredAttributes): G => {
    if (facts.length === 0) return group;
    // Of what there is not, nothing is known.
    const given = group['status'] === 'unknown' || group['status'] === 'none' ? NO_ATTRIBUTES : stored;
    const all: Record<string, Group[string]> = { ...group };
    for (const { name, valueIn } of facts) all[name] = valueIn(given);
    return closed(all) as G;
  };
  const withRole = (target: Facts['target']): Facts['target'] =>
    typeof target.role !== 'string' || fits(roles, target.role) ? target : closed({ ...target, role: 'other' });

  return (known) => {
    if (isPlain && fits(roles, known.target.role)) return known;
    const before = made.get(known);
    if (before) return before;
    const { key, user, target, stored } = known;
    const groups = {
      key: withAttributes(key, declared.key, stored.key),
      user: withAttributes(user, declared.user, stored.user),
      target: withAttributes(withRole(target), declared.target, stored.target),
    };
    made.set(known, groups);
    return groups;
  };
}

const NO_ATTRIBUTES: StoredAttributes = closed({});

/** One declared attribute as what a group of facts has of it: a value, or of grants a group of its own. */
interface AttributeValue<V = string | boolean | Group> {
  readonly name: string;
  readonly valueIn: (attributes: StoredAttributes) => V;
}

/** In the order in which `groupFrom` has them: groups within the group last. */
function attributeValues(declared: DeclaredAttributes): readonly AttributeValue[] {
  const grants = [...declared].flatMap(([name, one]) => (one.kind === 'grants' ? [grantsValue(name, one.grants)] : []));
  return [...plainValues(declared), ...grants];
}

/** Of what is declared and is no set of grants. */
const plainValues = (declared: DeclaredAttributes): readonly AttributeValue<string | boolean>[] =>
  [...declared].flatMap(([name, one]) => {
    const [fact] = one.kind === 'grants' ? [] : factsOfAttributes(new Map([[name, one]]), '');
    if (!fact) return [];
    const [, { type, none }] = fact;
    const valueIn = (attributes: StoredAttributes): string | boolean => {
      const value = attributes[name];
      return fits(type, value) ? (value as string | boolean) : none;
    };
    return [{ name, valueIn }];
  });

/** Many keys have the same grants: they share one group, which may be large. */
function grantsValue(name: string, grants: readonly string[]): AttributeValue<Group> {
  const kept = new Map<string, Group>();
  const valueIn = (attributes: StoredAttributes): Group => {
    const given = attributes[name];
    const held = new Set(Array.isArray(given) ? given : []);
    const granted = grants.map((grant) => [grant, held.has(grant)] as const);
    const id = granted.map(([, has]) => (has ? 1 : 0)).join('');
    return kept.get(id) ?? keep(kept, id, groupFrom(granted), KEPT_GRANTS);
  };
  return { name, valueIn };
}

/**
 * How many requests, and how many combinations of what is asked, a schema keeps. Both come from callers, so they are bounded: at the
 * bound all are dropped, which costs the next decision on each its place in the memo.
 */
const KEPT = 4096;
/** How many combinations of the grants of one attribute are kept, of up to 64 grants each. */
const KEPT_GRANTS = 512;

function keep<V>(kept: Map<string, V>, name: string, value: V, most = KEPT): V {
  if (kept.size >= most) kept.clear();
  kept.set(name, value);
  return value;
}

function requestGroupsOf({ registrationOf }: Schema): Groups['requestGroup'] {
  const kept = [0, 1, 2, 3].map(() => new Map<string, Facts['request']>());
  return (action, addressed, byId) => {
    const of = kept[(addressed ? 1 : 0) + (byId ? 2 : 0)] as Map<string, Facts['request']>;
    const known = of.get(action);
    if (known) return known;
    const request: Omit<Facts['request'], 'registered'> = { action, addressed, byId };
    return keep(of, action, groupFrom([...Object.entries(request), ...registrationOf(action)]) as Facts['request']);
  };
}

function askedGroupsOf(asked: Schema['declaration']['asked']): NonNullable<Groups['askedGroup']> {
  const kept = new Map<string, Group>();
  const facts = plainValues(asked);
  const groupOf = (values: readonly (string | boolean)[]): Group =>
    groupFrom(facts.map(({ name }, index) => [name, values[index]] as const));
  const none = facts.map(({ valueIn }) => valueIn(NO_ATTRIBUTES));
  const nothing = { name: none.join(), group: groupOf(none) };
  return (attributes) => {
    if (!attributes) return nothing.group;
    const values = facts.map(({ valueIn }) => valueIn(attributes));
    // No value holds a comma, and which facts are booleans is fixed, so no two combinations share a name.
    const name = values.join();
    if (name === nothing.name) return nothing.group;
    return kept.get(name) ?? keep(kept, name, groupOf(values));
  };
}

/** Keeps the last span, since most moments are near each other. */
function spansOf({ schedules }: Schema): Groups['span'] {
  let last: ScheduleSpan | undefined;
  return (moment) => {
    if (last && moment >= last.from && moment < last.until) return last;
    last = schedules.at(moment);
    return last;
  };
}
