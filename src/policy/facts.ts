/**
 * The facts: the one closed record of scalars that a decision is made from. FACTS is the only list of the built-in ones: the rule
 * checker, Casbin's request definition, the enumeration of situations, the SQL that loads facts, the shapes of the API and
 * the table in docs/policies.md are derived from it or held against it.
 */

/** `text`: any string, empty where there is nothing to name. A list: an enumeration of exactly these. */
export type FactType = 'text' | 'boolean' | readonly string[];

/** What a fact of type text can be. */
export interface TextForm {
  readonly accepts: RegExp;
  /** In words: `r.key.id is ..`. */
  readonly says: string;
}

export interface FactDefinition {
  readonly type: FactType;
  /** Of a fact of type text. A rule that compares it with anything else is refused. */
  readonly form?: TextForm;
  /** The value where nothing is known, and in a record that is older than the fact. */
  readonly none: string | boolean;
  /** The version of the facts that it came with; see FACTS_VERSION. Of a declared fact 0: each policy has its own. */
  readonly since: number;
  /** What it means, for documentation. */
  readonly says: string;
}

/** By group and name. A name with a dot, such as `can.sms`, is a fact of a group within the group. */
export type FactTable = Readonly<Record<string, Readonly<Record<string, FactDefinition>>>>;

const ID: TextForm = {
  accepts: /^(?!\.{1,2}$)[A-Za-z0-9._:-]{0,64}$/,
  says: 'empty, or 1-64 of the characters A-Z a-z 0-9 . _ : - there',
};
const ENVIRONMENT: TextForm = {
  accepts: /^[a-z0-9-]{0,32}$/,
  says: 'empty, or 1-32 of the characters a-z 0-9 - there',
};
const ACTION: TextForm = {
  accepts: /^(?=.{3,128}$)[a-z][a-z0-9_-]*(:[a-z][a-z0-9_-]*)+$/,
  says: 'lower-case words joined by colons, such as call:create',
};

/** By group. The order of the groups is the order in which Casbin is given them. */
export const FACTS = {
  key: {
    id: { type: 'text', form: ID, none: '', since: 1, says: 'the public id of the key; empty: unknown' },
    status: {
      type: ['active', 'expired', 'revoked', 'unknown'],
      none: 'unknown',
      since: 1,
      says: 'unknown: no key like this exists, or nothing like a key was sent',
    },
    userManagement: {
      type: 'boolean',
      none: false,
      since: 1,
      says: 'the key may use the user-management endpoints',
    },
    environment: {
      type: 'text',
      form: ENVIRONMENT,
      none: '',
      since: 1,
      says: 'the environment that the key is for, such as production',
    },
  },
  user: {
    id: { type: 'text', form: ID, none: '', since: 1, says: 'the id of the user of the key; empty: unknown' },
    status: {
      type: ['active', 'disabled', 'unknown'],
      none: 'unknown',
      since: 1,
      says: 'unknown: the key has no user that exists',
    },
    businesses: {
      type: ['active', 'disabled'],
      none: 'active',
      since: 1,
      says: "disabled: the user's businesses as a whole",
    },
  },
  target: {
    id: { type: 'text', form: ID, none: '', since: 1, says: 'the id of the business that is asked about; empty: none' },
    status: {
      type: ['none', 'active', 'disabled', 'unknown'],
      none: 'none',
      since: 1,
      says: 'none: the question names no business',
    },
    role: {
      type: ['owner', 'member', 'none', 'other'],
      none: 'none',
      since: 1,
      says: 'the role of the user in the business; other: one that the policy does not declare',
    },
    inRestriction: {
      type: 'boolean',
      none: false,
      since: 1,
      says: 'the key is unrestricted, or its list names the business',
    },
  },
  limit: {
    exceeded: { type: 'boolean', none: false, since: 1, says: 'the key is over its rate limit' },
  },
  request: {
    action: {
      type: 'text',
      form: ACTION,
      none: '',
      since: 1,
      says: 'what the client wants to do, such as call:create',
    },
    registered: { type: 'boolean', none: false, since: 3, says: 'the action is in the register of facts.yaml' },
    addressed: { type: 'boolean', none: false, since: 3, says: "the question states its client's address" },
    byId: {
      type: 'boolean',
      none: false,
      since: 4,
      says: 'the question names the key or its user by its public id, and nobody has shown the key',
    },
  },
  freeze: {
    active: { type: 'boolean', none: false, since: 2, says: 'a freeze in force covers this question' },
  },
} as const satisfies FactTable;

type Table = typeof FACTS;
type ValueOf<T> = T extends 'text'
  ? string
  : T extends 'boolean'
    ? boolean
    : T extends readonly (infer V)[]
      ? V
      : never;

/** What `decide` sees. */
export type Facts = {
  readonly [Group in keyof Table]: {
    readonly [Fact in keyof Table[Group]]: Table[Group][Fact] extends { readonly type: infer Type }
      ? ValueOf<Type>
      : never;
  };
};

export type FactGroup = keyof Facts;

/** The latest `since` of a table. */
export const versionOf = (table: FactTable): number =>
  Math.max(...Object.values(table).flatMap((facts) => Object.values(facts).map(({ since }) => since)));

/**
 * Counts the versions of FACTS. Each record of the decision log names the one that it was made under. A fact that is added
 * takes the next number as its `since`; one that was released is never removed, and its type only gains values.
 */
export const FACTS_VERSION = versionOf(FACTS);

/** The one fact that action patterns are matched against. */
export const ACTION_PATH = 'r.request.action';

/** A group of facts: values, and groups of values. */
export interface Group {
  readonly [name: string]: string | boolean | Group;
}

/** A group of facts by its name, which may be one that only a policy declares. */
export const groupOf = (facts: Facts, group: string): Group => (facts as Readonly<Record<string, Group>>)[group] ?? {};

/** The value of a fact by its path, such as `r.key.can.sms`. */
export function valueAt(facts: Facts, path: string): string | boolean {
  let value: unknown = facts;
  for (const name of namesIn(path)) value = (value as Group | undefined)?.[name];
  return value as string | boolean;
}

/** The names in paths, kept: a check asks for the same paths a million times, and splitting them took a tenth of its time. */
const namesByPath = new Map<string, readonly string[]>();
const MOST_PATHS = 10_000;

function namesIn(path: string): readonly string[] {
  const known = namesByPath.get(path);
  if (known) return known;
  const names = path.split('.').slice(1);
  if (namesByPath.size >= MOST_PATHS) namesByPath.clear();
  namesByPath.set(path, names);
  return names;
}

/** A group of these facts, by their names in the table, closed. */
export function groupFrom(values: Iterable<readonly [name: string, value: unknown]>): Group {
  const group: Record<string, unknown> = {};
  const inner = new Map<string, Record<string, unknown>>();
  for (const [name, value] of values) {
    if (!name.includes('.')) {
      group[name] = value;
      continue;
    }
    const [outer = '', within = ''] = name.split('.');
    const values = inner.get(outer) ?? {};
    values[within] = value;
    inner.set(outer, values);
  }
  for (const [name, values] of inner) group[name] = closed(values);
  return closed(group) as Group;
}

export interface Constraint {
  readonly says: string;
  /** The groups that `holds` reads, in the order of the schema. */
  readonly about: readonly string[];
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

/** What closed records inherit from, and so have nothing from: V8 keeps an object without any prototype as a dictionary of five times the size. */
const NOTHING: object = Object.freeze(Object.create(null));

type Shape = new () => object;

/** Makes records that inherit from NOTHING and share one hidden class. */
function createShape(): Shape {
  function Shape(): void {}
  Shape.prototype = NOTHING;
  return Shape as unknown as Shape;
}

/** By the names of the members, in their order. Records of operators' attributes can have any, so at the bound all are dropped. */
const shapes = new Map<string, Shape>();
const MAX_SHAPES = 1000;

function shapeOf(names: string): Shape {
  const known = shapes.get(names);
  if (known) return known;
  if (shapes.size >= MAX_SHAPES) shapes.clear();
  const shape = createShape();
  shapes.set(names, shape);
  return shape;
}

/**
 * A closed, frozen record that inherits nothing, so that no rule can reach anything but the facts themselves.
 * Copies; the caller's object may change afterwards without changing a decision.
 */
export const closed = <T extends object>(record: T): Readonly<T> =>
  Object.freeze(Object.assign(new (shapeOf(Object.keys(record).join()))(), record) as T);

/** Whether a record inherits nothing. */
export function isClosed(record: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(record);
  return prototype === NOTHING || prototype === null;
}
