/**
 * Attributes of users, businesses and keys, and roles: which values may be written is what `facts.yaml` declares. What is stored and
 * no longer declared grants nothing (policy/facts-under.ts), so a policy may change at any time.
 */

import type { Issue } from '../errors.ts';
import { printPath, refused } from '../input/json.ts';
import type { StoredAttributes } from '../policy/declared/declaration.ts';
import {
  BUILT_IN_ROLES,
  type Declaration,
  type DeclaredAttributes,
  type DeclaredGrants,
  type DeclaredValues,
} from '../policy/declared/declaration.ts';

/** Whose attributes they are. */
export type Owner = keyof Declaration['attributes'];

/** Of their JSON. A CHECK of the tables allows twice as much: PostgreSQL prints it with spaces. */
const MAX_BYTES = 16_384;

/** The faults of attributes that are to be stored, with paths such as `attributes.plan`. No value is quoted; the declared ones are named. */
export function checkAttributes(
  declared: DeclaredAttributes,
  given: Readonly<Record<string, unknown>>,
): readonly Issue[] {
  const names = Object.keys(given);
  const issues = names.flatMap((name) => {
    const of = declared.get(name);
    const message = of === undefined ? undeclaredName(declared) : faultOf(of, given[name]);
    return message === undefined ? [] : [{ path: pathOf(declared, name), message }];
  });
  if (issues.length > 0 || Buffer.byteLength(JSON.stringify(given)) <= MAX_BYTES) return issues;
  return [{ path: 'attributes', message: `must have at most ${MAX_BYTES} bytes as JSON` }];
}

/** Attributes in the form in which they are stored, once they are declared ones. @throws Failure INVALID_REQUEST with all issues */
export function acceptAttributes(
  declaration: Declaration,
  owner: Owner,
  given: Readonly<Record<string, unknown>>,
): StoredAttributes {
  const issues = checkAttributes(declaration.attributes[owner], given);
  if (issues.length > 0) throw refused(issues);
  return inOrder(given as StoredAttributes);
}

/** A role that is built in or declared. @throws Failure INVALID_REQUEST that names these */
export function acceptRole(declaration: Declaration, role: string): string {
  const known = [...BUILT_IN_ROLES, ...declaration.roles];
  if (known.includes(role)) return role;
  throw refused([{ path: 'role', message: `must be ${oneOf(known)}` }]);
}

export const isBuiltInRole = (role: string): boolean => BUILT_IN_ROLES.includes(role);

/** Names and grants in the order of their characters, so that equal attributes have equal JSON. */
export const inOrder = (attributes: StoredAttributes): StoredAttributes =>
  Object.fromEntries(
    Object.keys(attributes)
      .sort()
      .map((name) => {
        const value = attributes[name] as StoredAttributes[string];
        return [name, Array.isArray(value) ? value.toSorted() : value];
      }),
  );

const pathOf = (declared: DeclaredAttributes, name: string): string =>
  declared.has(name) ? `attributes.${name}` : printPath(['attributes', name]);

// One text for all of them: whoever sends, or imports, a million names must not have a million lists made.
const undeclaredTexts = new WeakMap<DeclaredAttributes, string>();

function undeclaredName(declared: DeclaredAttributes): string {
  const text = undeclaredTexts.get(declared) ?? undeclaredText(declared);
  undeclaredTexts.set(declared, text);
  return text;
}

const undeclaredText = (declared: DeclaredAttributes): string => {
  if (declared.size === 0)
    return 'facts.yaml of the policy declares no attributes here; leave it out, or declare it first';
  return `facts.yaml of the policy declares only ${listOf([...declared.keys()])} here; leave it out, or declare it first`;
};

/** Undefined: none. */
function faultOf(declared: DeclaredValues | DeclaredGrants, value: unknown): string | undefined {
  switch (declared.kind) {
    case 'boolean':
      return typeof value === 'boolean' ? undefined : 'must be true or false';
    case 'values':
      return typeof value === 'string' && declared.values.includes(value)
        ? undefined
        : `must be ${oneOf(declared.values)}`;
    case 'grants':
      return faultOfGrants(declared.grants, value);
  }
}

function faultOfGrants(declared: readonly string[], value: unknown): string | undefined {
  if (!Array.isArray(value) || !value.every((one) => declared.includes(one))) {
    return `must be a list of any of ${listOf(declared)}`;
  }
  return new Set(value).size === value.length ? undefined : 'names one of these twice; name each once';
}

const listOf = (names: readonly string[]): string =>
  names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`;
const oneOf = (names: readonly string[]): string =>
  names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} or ${names.at(-1)}`;
