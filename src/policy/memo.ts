/**
 * Memoizes `decide`: the same facts under the same policy give the same decision. It is kept by situation, which is all that a decision can
 * depend on: the facts, and of an id only which of the constants that rows compare it with it is. Few situations occur, however many
 * keys there are, so a key that is asked about for the first time is usually decided without evaluating a rule, and nothing is kept of
 * it. Entries never expire by time.
 */

import { type Decision, decide, type Policy } from './decide.ts';
import { type Facts, type Group, groupOf, isClosed } from './facts.ts';
import type { Row } from './row.ts';
import type { Schema } from './schema.ts';

/** Groups that the cache of facts makes, one for each key, user or target. Each has an id. */
const OF_CACHE: readonly string[] = ['key', 'user', 'target'];

/** `next` is by the value that has this level's place; below the last there is the decision. */
interface Level {
  readonly next: Map<unknown, Level>;
  decision?: Decision;
}

/** The decisions of one policy that are kept. */
interface Kept {
  /** The decision on facts that have as many groups as the schema. */
  readonly find: (facts: Facts) => Decision | undefined;
  /** Keeps what was decided on facts of which no group can change. */
  readonly file: (facts: Facts, decision: Decision) => void;
}

/** Bounds the decisions that are kept of a policy. At the bound, all of them are dropped: what is asked comes from callers. */
const MAX = 10_000;

/**
 * A memoizing `decide`. What is kept is garbage-collected with the policy.
 *
 * INVARIANT: what is filed can never change: frozen, without prototype, and of plain values and such groups. Facts with any other
 * group are decided on each time. All facts that a decision can depend on are part of what an entry is filed under, and facts with
 * more groups, or more in a group, are not looked up, so no fact gets past the check of `decide`.
 */
export function memoizedDecide(): typeof decide {
  const byPolicy = new WeakMap<Policy, Kept>();

  const keptOf = (policy: Policy): Kept => {
    const known = byPolicy.get(policy) ?? keptBySituation(policy);
    byPolicy.set(policy, known);
    return known;
  };

  return (policy, given) => {
    const { schema } = policy;
    const kept = keptOf(policy);
    const known = isExact(schema, given) ? kept.find(given) : undefined;
    if (known) return known;
    // Reads each group once, so that what is decided on is what the entry is filed under.
    const facts = { ...given };
    const decision = Object.freeze(decide(policy, facts));
    if (isFixed(policy) && schema.groups.every((group) => isConstant(groupOf(facts, group))))
      kept.file(facts, decision);
    return decision;
  };
}

/**
 * INVARIANT: an entry is filed under every fact that its decision can depend on. Of key, user and target these are the values of all
 * facts, never joined to a text that two could share; of an id whether it is empty, which is all that constraints ask of it, and otherwise
 * which constant it is, as rules can do no more with a text than compare it (`Rule.constants`). Of the other groups it is their
 * identity: they are interned (policy/facts-under.ts), and a look-up takes one step for each, however many facts it has.
 */
function keptBySituation({ schema, rows }: Policy): Kept {
  const ofCache = OF_CACHE.map((group) => ({
    group,
    members: membersOf(schema, group),
    constants: constantsOf(rows, `r.${group}.id`),
  }));
  const others = schema.groups.filter((group) => !OF_CACHE.includes(group));
  let tree: Level = { next: new Map() };
  let size = 0;

  return {
    find: (facts) => {
      let level: Level | undefined = tree;
      for (const { group: name, members, constants } of ofCache) {
        const group = groupOf(facts, name);
        if (!hasOnly(group, members)) return undefined;
        for (const member of members) {
          level = level.next.get(stepOf(group, member, constants));
          if (!level) return undefined;
        }
      }
      for (const name of others) {
        level = level.next.get(groupOf(facts, name));
        if (!level) return undefined;
      }
      return level.decision;
    },
    file: (facts, decision) => {
      if (size >= MAX) {
        tree = { next: new Map() };
        size = 0;
      }
      size += 1;
      const steps = [
        ...ofCache.flatMap(({ group, members, constants }) =>
          members.map((member) => stepOf(groupOf(facts, group), member, constants)),
        ),
        ...others.map((group) => groupOf(facts, group)),
      ];
      let level = tree;
      for (const step of steps) {
        const next: Level = level.next.get(step) ?? { next: new Map() };
        level.next.set(step, next);
        level = next;
      }
      level.decision = decision;
    },
  };
}

/** The names of what a group holds: facts, and groups of facts, which are interned and so stand for their values. */
const membersOf = (schema: Schema, group: string): readonly string[] => [
  ...new Set(schema.factsOf(group).map(([name]) => name.split('.')[0] ?? '')),
];

/** The texts that rows compare a fact with. */
const constantsOf = (rows: readonly Row[], path: string): ReadonlySet<string> =>
  new Set(rows.flatMap(({ when }) => [...(when.constants.get(path) ?? [])]));

/** Stands for every id that no row names, which no id can be. */
const UNNAMED = ' ';

/** Nothing is filed under undefined: an id that is no string is not decided on. */
function stepOf(group: Group, member: string, constants: ReadonlySet<string>): unknown {
  const value = group[member];
  if (member !== 'id') return value;
  if (typeof value !== 'string') return undefined;
  return value === '' || constants.has(value) ? value : UNNAMED;
}

/** Whether a group, which has no prototype to inherit from, has as many members. Each that it lacks finds nothing. */
const hasOnly = (group: Group, members: readonly string[]): boolean =>
  isClosed(group) && Object.keys(group).length === members.length;

/** Whether the facts have as many groups as the schema, and none by inheritance. */
const isExact = ({ groups }: Schema, facts: Facts): boolean =>
  Object.keys(facts).length === groups.length && (isClosed(facts) || Object.getPrototypeOf(facts) === Object.prototype);

const isFixed = (policy: Policy): boolean => Object.isFrozen(policy) && Object.isFrozen(policy.rows);

const isConstant = (group: unknown): boolean =>
  typeof group === 'object' &&
  group !== null &&
  Object.isFrozen(group) &&
  isClosed(group) &&
  Object.values(Object.getOwnPropertyDescriptors(group)).every(
    ({ value }) => typeof value === 'string' || typeof value === 'boolean' || isConstant(value),
  );
