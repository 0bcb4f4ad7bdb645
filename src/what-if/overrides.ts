/** Facts that a question sets in place of those that are stored, checked against the schema of the policy. */

import type { Issue } from '../errors.ts';
import { invalid, printPath, refused } from '../input/json.ts';
import { withNearest } from '../nearest.ts';
import { isFixed } from '../policy/analysis/moves.ts';
import { withValues } from '../policy/changed-facts.ts';
import { type Facts, fits, type Group, groupOf } from '../policy/facts.ts';
import type { Schema } from '../policy/schema.ts';

type Value = string | boolean;

/** @throws Failure INVALID_REQUEST with all issues: what is no fact of the schema, or facts that cannot occur together */
export function withSet(schema: Schema, facts: Facts, set: ReadonlyMap<string, Value>): Facts {
  const given = [...set].map(([path, value]) => [path, valueFor(schema, path, value)] as const);
  const issues = given.flatMap(([path, value]) => faultsOf(schema, path, value));
  if (issues.length > 0) throw refused(issues);
  const changed = withValues(facts, new Map(given));
  let read: Facts;
  try {
    read = schema.read(changed);
  } catch (error) {
    if (!(error instanceof TypeError) || set.size === 0) throw error;
    throw invalid('set', `${error.message}; set what goes with it, too`);
  }
  refuseUnproved(schema, read);
  return read;
}

/**
 * Which networks one address lies in, and which schedules one moment does, no constraint says: the schema has the combinations that occur,
 * and only these are proved. @throws Failure INVALID_REQUEST for any other
 */
function refuseUnproved(schema: Schema, facts: Facts): void {
  const { networks, schedules } = schema;
  const occurs = (group: string, combinations: readonly Group[]): boolean => {
    const [names, given] = [schema.factsOf(group).map(([name]) => name), groupOf(facts, group)];
    return names.length === 0 || combinations.some((one) => names.every((name) => one[name] === given[name]));
  };
  if (!occurs('network', facts.request.addressed ? networks.groups : [networks.nowhere]))
    throw invalid(
      'set',
      'no address lies in just these networks; set what goes with them, or state an address instead',
    );
  if (!occurs('schedule', schedules.groups))
    throw invalid(
      'set',
      'no moment lies in just these schedules; set what goes with them, or state another time instead',
    );
}

/** A command line has only texts. */
const valueFor = ({ paths }: Schema, path: string, value: Value): Value =>
  paths.get(path) === 'boolean' && (value === 'true' || value === 'false') ? value === 'true' : value;

function faultsOf({ paths, forms }: Schema, path: string, value: Value): Issue[] {
  const type = paths.get(path);
  // What is no fact may be a secret.
  const where = type === undefined ? printPath(['set', path]) : `set.${path}`;
  const issue = (message: string): Issue[] => [{ path: where, message }];
  if (type === undefined) return issue(withNearest('the policy has no such fact', path, [...paths.keys()]));
  if (isFixed(path)) return issue('follows from the action of the question; ask about another action');
  const form = forms.get(path);
  if (fits(type, value) && (!form || form.accepts.test(String(value)))) return [];
  if (type === 'boolean') return issue('must be true or false');
  return issue(type === 'text' ? `must be text: ${form?.says ?? 'any'}` : `must be one of ${type.join(', ')}`);
}
