/**
 * The facts: the one closed record of scalars that a decision is made from. The schema below names every fact, its type
 * and the combinations that can occur; the rule checker, the enumeration of situations and `decide` all read it.
 */

export type FactType = 'text' | 'boolean' | readonly string[];

export const FACTS_SCHEMA = {
  key: {
    id: 'text',
    status: ['active', 'expired', 'revoked', 'unknown'],
    userManagement: 'boolean',
    environment: 'text',
  },
  user: {
    id: 'text',
    status: ['active', 'disabled', 'unknown'],
    businesses: ['active', 'disabled'],
  },
  target: {
    id: 'text',
    status: ['none', 'active', 'disabled', 'unknown'],
    role: ['owner', 'member', 'none'],
    inRestriction: 'boolean',
  },
  limit: { exceeded: 'boolean' },
  request: { action: 'text' },
} as const satisfies Record<string, Record<string, FactType>>;

type Schema = typeof FACTS_SCHEMA;
type ValueOf<T> = T extends 'text'
  ? string
  : T extends 'boolean'
    ? boolean
    : T extends readonly (infer V)[]
      ? V
      : never;

/**
 * What `decide` sees. `target.inRestriction` is true when the key is unrestricted or its list names the target; `id`s
 * are empty exactly where there is nothing to name.
 */
export type Facts = {
  readonly [Group in keyof Schema]: { readonly [Fact in keyof Schema[Group]]: ValueOf<Schema[Group][Fact]> };
};

export type FactGroup = keyof Facts;

/** The groups in the order of the schema: also the order in which Casbin is given them. */
export const FACT_GROUPS = Object.keys(FACTS_SCHEMA) as readonly FactGroup[];

/** Every fact path of the rule language, such as `r.key.status`, with its type. */
export const FACT_PATHS: ReadonlyMap<string, FactType> = new Map(
  Object.entries(FACTS_SCHEMA).flatMap(([group, facts]) =>
    Object.entries(facts).map(([fact, type]): [string, FactType] => [`r.${group}.${fact}`, type]),
  ),
);

export interface Constraint {
  readonly says: string;
  /** The groups that `holds` reads, in the order of the schema. */
  readonly about: readonly FactGroup[];
  readonly holds: (facts: Facts) => boolean;
}

/** Which combinations of values can occur; each of the others is a defect of whoever made the record, so a failure. */
export const CONSTRAINTS: readonly Constraint[] = [
  {
    says: 'a key has an id exactly when it is known',
    about: ['key'],
    holds: ({ key }) => (key.id === '') === (key.status === 'unknown'),
  },
  {
    says: 'a user has an id exactly when it is known',
    about: ['user'],
    holds: ({ user }) => (user.id === '') === (user.status === 'unknown'),
  },
  {
    says: 'a target has an id exactly when there is one',
    about: ['target'],
    holds: ({ target }) => (target.id === '') === (target.status === 'none'),
  },
  {
    says: 'an unknown key grants nothing, is of no environment, and has an unknown user',
    about: ['key', 'user'],
    holds: ({ key, user }) =>
      key.status !== 'unknown' || (!key.userManagement && key.environment === '' && user.status === 'unknown'),
  },
  {
    says: 'an unknown key has no restriction that names a target',
    about: ['key', 'target'],
    holds: ({ key, target }) => key.status !== 'unknown' || !target.inRestriction,
  },
  {
    says: 'an unknown user has no businesses and no role',
    about: ['user', 'target'],
    holds: ({ user, target }) => user.status !== 'unknown' || (user.businesses === 'active' && target.role === 'none'),
  },
  {
    says: 'a target that does not exist gives nobody a role',
    about: ['target'],
    holds: ({ target }) => target.status !== 'unknown' || target.role === 'none',
  },
  {
    says: 'no target has no role and is in no restriction',
    about: ['target'],
    holds: ({ target }) => target.status !== 'none' || (target.role === 'none' && !target.inRestriction),
  },
  {
    says: 'only an active key of an active user uses up its limit',
    about: ['key', 'user', 'limit'],
    holds: ({ key, user, limit }) => !limit.exceeded || (key.status === 'active' && user.status === 'active'),
  },
];

export function fits(type: FactType, value: unknown): boolean {
  if (type === 'text') return typeof value === 'string';
  if (type === 'boolean') return typeof value === 'boolean';
  return typeof value === 'string' && type.includes(value);
}

/**
 * A closed, frozen record without a prototype, so that no rule can reach anything but the facts themselves.
 * Copies; the caller's object may change afterwards without changing a decision.
 */
export function closed<T extends object>(record: T): Readonly<T> {
  return Object.freeze(Object.assign(Object.create(null), record) as T);
}

/**
 * A copy, without prototypes, of a facts record. Throws, naming the first fault, unless `value` is exactly one: every
 * fact there, each of its type, nothing more, in a combination that can occur.
 *
 * INVARIANT: nothing is decided on a record that has not passed here, because a rule such as
 * `r.key.status != 'revoked'` would hold of a fact that is missing. Each fact is read once, so that what was checked is
 * what is decided on, whatever a getter would answer the next time.
 */
export function readFacts(value: unknown): Facts {
  const given = members(value, FACT_GROUPS, 'facts');
  const facts = Object.create(null) as Record<FactGroup, unknown>;
  for (const group of FACT_GROUPS) facts[group] = readGroup(group, given[group]);
  const broken = CONSTRAINTS.find((constraint) => !constraint.holds(facts as Facts));
  if (broken) throw new TypeError(`the facts contradict each other: ${broken.says}`);
  return facts as Facts;
}

function readGroup(group: FactGroup, value: unknown): Readonly<Record<string, unknown>> {
  const schema: Record<string, FactType> = FACTS_SCHEMA[group];
  const names = Object.keys(schema);
  const given = members(value, names, group);
  const facts = Object.create(null) as Record<string, unknown>;
  for (const fact of names) {
    facts[fact] = given[fact];
    if (!fits(schema[fact] as FactType, facts[fact]))
      throw new TypeError(`the fact ${group}.${fact} is missing or of another type`);
  }
  return facts;
}

function members(value: unknown, names: readonly string[], what: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null) throw new TypeError(`the facts record lacks ${what}`);
  const own = Object.keys(value);
  if (own.length !== names.length || !names.every((name) => own.includes(name))) {
    throw new TypeError(`${what} must hold exactly: ${names.join(', ')}`);
  }
  return value as Record<string, unknown>;
}
