/** What the sections of `facts.yaml` are made of: maps of names, and lists of distinct texts; each fault with its path. */

import { isMap } from './yaml.ts';

/** Where in the file: names and indices, from its root. */
export type Path = readonly (string | number)[];

/** Reports a fault at a place of the file. */
export type Fault = (path: Path, message: string) => void;

/** What a text of a list can be. */
export interface Form {
  readonly accepts: RegExp;
  /** In words. */
  readonly says: string;
}

export const NAME: Form = {
  accepts: /^[a-z][a-z0-9_]{0,63}$/,
  says: 'a-z, 0-9 and _, beginning with a letter, at most 64',
};
/** Bounds of what can be declared, so that a table of facts stays one that a person can read. */
export const DECLARED_LIMITS = {
  values: 64,
  attributes: 64,
  roles: 64,
  networks: 64,
  schedules: 64,
  actions: 2000,
} as const;

/** The members of a map that are known; any other is a fault. */
export function partsOf(value: unknown, known: readonly string[], path: Path, fault: Fault): Record<string, unknown> {
  if (value === undefined || value === null) return {};
  if (!isMap(value)) {
    fault(path, `${path.join('.')} is a map of ${known.join(', ')}`);
    return {};
  }
  for (const name of Object.keys(value)) {
    if (!known.includes(name))
      fault([...path, name], `nothing reads ${JSON.stringify(name)}; known are ${known.join(', ')}`);
  }
  return Object.fromEntries(Object.entries(value).filter(([name]) => known.includes(name)));
}

/** A map of names to what `read` makes of their entries. `taken`: the built-in facts of their group, which no name may shadow. */
export function declaredOf<T>(
  value: unknown,
  path: Path,
  taken: Readonly<Record<string, unknown>>,
  fault: Fault,
  read: (name: string, entry: unknown, path: Path) => T | undefined,
  limit: number = DECLARED_LIMITS.attributes,
): ReadonlyMap<string, T> {
  if (value === undefined || value === null) return new Map();
  if (!isMap(value)) {
    fault(path, `${path.join('.')} is a map of names`);
    return new Map();
  }
  const entries = Object.entries(value);
  if (entries.length > limit)
    fault(path, `${path.join('.')} has ${entries.length} names; at most ${limit} can be declared`);
  return new Map(
    entries.slice(0, limit).flatMap(([name, entry]): [string, T][] => {
      const at = [...path, name];
      const wrong = nameFault(name, taken);
      if (wrong !== undefined) fault(at, wrong);
      const declared = read(name, entry, at);
      return wrong === undefined && declared !== undefined ? [[name, declared]] : [];
    }),
  );
}

function nameFault(name: string, taken: Readonly<Record<string, unknown>>): string | undefined {
  if (!NAME.accepts.test(name)) return `${JSON.stringify(name)} is no name: ${NAME.says}`;
  if (Object.hasOwn(taken, name)) return `${name} is a built-in fact; give it another name`;
  // What every JavaScript object has, such as constructor: a rule that reads it would read that in other tools.
  if (name in Object.prototype) return `${name} is reserved; give it another name`;
  return undefined;
}

/** A list of distinct texts. */
export function names(value: unknown, path: Path, limit: number, fault: Fault, form: Form): string[] {
  const where = path.join('.');
  if (!Array.isArray(value)) {
    fault(path, `${where} is a list, such as [one, two]`);
    return [];
  }
  if (value.length > limit) fault(path, `${where} has ${value.length} entries; at most ${limit} can be declared`);
  const seen = new Set<string>();
  for (const [index, entry] of (value as unknown[]).slice(0, limit).entries()) {
    const at = [...path, index];
    if (typeof entry !== 'string' || !form.accepts.test(entry)) {
      const quote = typeof entry === 'boolean' || typeof entry === 'number' ? '; put it in quotes if it is a text' : '';
      fault(at, `${JSON.stringify(entry)} cannot stand here: ${form.says}${quote}`);
    } else if (entry in Object.prototype) fault(at, `${entry} is reserved; give it another name`);
    else if (seen.has(entry)) fault(at, `${entry} stands twice`);
    else seen.add(entry);
  }
  return [...seen];
}
