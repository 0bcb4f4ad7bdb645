/**
 * Memoizes `decide`: the same facts under the same policy give the same decision. An entry is filed under the identity of the
 * policy and of the frozen groups `key`, `user` and `target` (WeakMap), which the cache of facts shares between requests, and
 * under the value of every other fact, one level of a tree (trie) for each: never under a joined string that two questions
 * could share. Entries never expire by time.
 */

import { type Decision, decide, type Policy } from './decide.ts';
import { type FactGroup, type Facts, groupOf } from './facts.ts';
import type { Schema } from './schema.ts';

/** Whatever facts these groups have: another value is another frozen object. */
const BY_IDENTITY = ['key', 'user', 'target'] as const satisfies readonly FactGroup[];

/** What an entry is filed under beside the groups by identity. */
interface ByValue {
  /** How many groups there are in all. */
  readonly groups: number;
  readonly sizes: readonly { readonly group: string; readonly size: number }[];
  /** INVARIANT: all facts of all other groups, so that a fact that is added to a schema is part of what an entry is filed under. */
  readonly facts: readonly { readonly group: string; readonly fact: string }[];
}

function byValueIn({ groups, factsOf }: Schema): ByValue {
  const others = groups.filter((group) => !(BY_IDENTITY as readonly string[]).includes(group));
  return {
    groups: groups.length,
    sizes: others.map((group) => ({ group, size: factsOf(group).length })),
    facts: others.flatMap((group) => factsOf(group).map(([fact]) => ({ group, fact }))),
  };
}

/** `next` is by the value of the fact that has this level's place in `ByValue`; below the last fact there is the decision. */
interface Level {
  readonly next: Map<unknown, Level>;
  decision?: Decision;
}

/** The decisions on one target for one key and user; another key or user replaces them. */
interface Remembered {
  readonly key: Facts['key'];
  readonly user: Facts['user'];
  readonly tree: Level;
  size: number;
}

/** Bounds the decisions that are kept of one target. At the bound, all of them are dropped. */
const MAX_OF_TARGET = 128;

/**
 * A memoizing `decide`. Entries are garbage-collected with the facts and the policy that they are of.
 *
 * INVARIANT: what is filed under its identity can never change: frozen, without prototype, and of plain values. Others are
 * decided on each time.
 */
export function memoizedDecide(): typeof decide {
  const byPolicy = new WeakMap<Policy, WeakMap<Facts['target'], Remembered>>();
  const bySchema = new WeakMap<Schema, ByValue>();

  const byValueOf = (schema: Schema): ByValue => {
    const known = bySchema.get(schema) ?? byValueIn(schema);
    bySchema.set(schema, known);
    return known;
  };

  const recall = (policy: Policy, { key, user, target }: Facts): Remembered | undefined => {
    const remembered = byPolicy.get(policy)?.get(target);
    return remembered?.key === key && remembered.user === user ? remembered : undefined;
  };

  const remember = (policy: Policy, byValue: ByValue, facts: Facts, decision: Decision): void => {
    const { key, user, target } = facts;
    const byTarget = byPolicy.get(policy) ?? new WeakMap<Facts['target'], Remembered>();
    byPolicy.set(policy, byTarget);
    const before = recall(policy, facts);
    const remembered =
      before && before.size < MAX_OF_TARGET ? before : { key, user, tree: { next: new Map() }, size: 0 };
    byTarget.set(target, remembered);
    remembered.size += 1;
    file(remembered.tree, byValue, facts, decision);
  };

  return (policy, given) => {
    const byValue = byValueOf(policy.schema);
    const remembered = isExact(byValue, given) ? recall(policy, given) : undefined;
    const known = remembered && find(remembered.tree, byValue, given);
    if (known) return known;
    const facts = copyOf(byValue, given);
    const decision = Object.freeze(decide(policy, facts));
    if (isFixed(policy) && BY_IDENTITY.every((group) => isConstant(facts[group])))
      remember(policy, byValue, facts, decision);
    return decision;
  };
}

/**
 * Whether the facts hold as many groups, and those by value as many facts, as `decide` takes. INVARIANT: a lookup reads only
 * known facts, so any others must not get past the check of `decide`. Counting own keys is enough: where one is missing or
 * inherited, none is filed under `undefined`, and the count is short.
 */
function isExact({ groups, sizes }: ByValue, facts: Facts): boolean {
  if (Object.keys(facts).length !== groups) return false;
  for (const { group, size } of sizes) if (Object.keys(groupOf(facts, group)).length !== size) return false;
  return true;
}

function find(tree: Level, byValue: ByValue, facts: Facts): Decision | undefined {
  let level: Level | undefined = tree;
  for (const { group, fact } of byValue.facts) level = level?.next.get(groupOf(facts, group)[fact]);
  return level?.decision;
}

function file(tree: Level, byValue: ByValue, facts: Facts, decision: Decision): void {
  let level = tree;
  for (const { group, fact } of byValue.facts) {
    const value = groupOf(facts, group)[fact];
    const next: Level = level.next.get(value) ?? { next: new Map() };
    level.next.set(value, next);
    level = next;
  }
  level.decision = decision;
}

/** Reads each part once, so that what is decided on is what the entry is filed under. */
const copyOf = ({ sizes }: ByValue, given: Facts): Facts =>
  Object.assign({ ...given }, ...sizes.map(({ group }) => ({ [group]: { ...groupOf(given, group) } }))) as Facts;

const isFixed = (policy: Policy): boolean => Object.isFrozen(policy) && Object.isFrozen(policy.rows);

const isConstant = (group: object): boolean =>
  Object.isFrozen(group) &&
  Object.getPrototypeOf(group) === null &&
  Object.values(Object.getOwnPropertyDescriptors(group)).every(({ value }) =>
    ['string', 'boolean'].includes(typeof value),
  );
