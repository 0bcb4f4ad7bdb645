/**
 * Decisions by situation: the facts but for the ids, of which few combinations occur, however many keys there are. So a key that is
 * asked about for the first time is usually decided without evaluating a rule, and nothing is kept of it. For policies of which
 * no row reads an id.
 */

import type { Decision } from './decide.ts';
import { type Facts, type Group, groupOf, isClosed } from './facts.ts';
import type { Schema } from './schema.ts';

/** The decisions of one policy that are kept. */
export interface Kept {
  /** The decision on facts that have as many groups as the schema. */
  readonly find: (facts: Facts) => Decision | undefined;
  /** Keeps what was decided on facts of which no group can change. */
  readonly file: (facts: Facts, decision: Decision) => void;
}

/** Groups that the cache of facts makes, one for each key, user or target. */
export const OF_CACHE: readonly string[] = ['key', 'user', 'target'];

/** The facts that say which key, user or target it is. */
export const ID_PATHS: readonly string[] = OF_CACHE.map((group) => `r.${group}.id`);

/** `next` is by the value that has this level's place; below the last there is the decision. */
interface Level {
  readonly next: Map<unknown, Level>;
  decision?: Decision;
}

/** Bounds the decisions that are kept of a policy. At the bound, all of them are dropped: what is asked comes from callers. */
const MAX = 10_000;

/**
 * INVARIANT: an entry is filed under every fact that its decision can depend on. Of key, user and target these are the values of all
 * facts, and of the id whether it is empty, which is all that constraints ask of it; of the other groups it is their identity.
 */
export function keptBySituation(schema: Schema): Kept {
  const ofCache = OF_CACHE.map((group) => ({ group, members: membersOf(schema, group) }));
  const others = schema.groups.filter((group) => !OF_CACHE.includes(group));
  let tree: Level = { next: new Map() };
  let size = 0;

  return {
    find: (facts) => {
      let level: Level | undefined = tree;
      for (const { group: name, members } of ofCache) {
        const group = groupOf(facts, name);
        if (!hasOnly(group, members)) return undefined;
        for (const member of members) {
          level = level.next.get(stepOf(group, member));
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
        ...ofCache.flatMap(({ group, members }) => members.map((member) => stepOf(groupOf(facts, group), member))),
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

/** Of an id whether there is one. Nothing is filed under undefined, since an id that is no string is not decided on. */
function stepOf(group: Group, member: string): unknown {
  const value = group[member];
  if (member !== 'id') return value;
  return typeof value !== 'string' ? undefined : value === '' ? 'none' : 'one';
}

/** Whether a group, which has no prototype to inherit from, has as many members. Each that it lacks finds nothing. */
const hasOnly = (group: Facts[keyof Facts] | Group, members: readonly string[]): boolean =>
  isClosed(group) && Object.keys(group).length === members.length;
