/**
 * Decisions by the identity of every group of the facts, never by a joined string that two questions could share: groups are
 * interned (facts/declared.ts), so equal ones of a key are one object, and a look-up takes one step for each group, however many
 * facts it has. For policies that read ids, of which every key has its own situations.
 */

import type { Decision } from './decide.ts';
import { type Facts, type Group, groupOf } from './facts.ts';
import { type Kept, OF_CACHE } from './memo-by-situation.ts';
import type { Schema } from './schema.ts';

/** `next` is by the group that has this level's place among the others; below the last there is the decision. */
interface Level {
  readonly next: Map<Group, Level>;
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

/** Entries are garbage-collected with the facts that they are of. */
export function keptByIdentity(schema: Schema): Kept {
  const byTarget = new WeakMap<Facts['target'], Remembered>();
  const others = schema.groups.filter((group) => !OF_CACHE.includes(group));

  const recall = ({ key, user, target }: Facts): Remembered | undefined => {
    const remembered = byTarget.get(target);
    return remembered?.key === key && remembered.user === user ? remembered : undefined;
  };

  return {
    find: (facts) => {
      const remembered = recall(facts);
      return remembered && find(remembered.tree, others, facts);
    },
    file: (facts, decision) => {
      const { key, user, target } = facts;
      const before = recall(facts);
      const remembered =
        before && before.size < MAX_OF_TARGET ? before : { key, user, tree: { next: new Map() }, size: 0 };
      byTarget.set(target, remembered);
      remembered.size += 1;
      file(remembered.tree, others, facts, decision);
    },
  };
}

function find(tree: Level, others: readonly string[], facts: Facts): Decision | undefined {
  let level: Level | undefined = tree;
  for (const group of others) {
    level = level.next.get(groupOf(facts, group));
    if (!level) return undefined;
  }
  return level.decision;
}

function file(tree: Level, others: readonly string[], facts: Facts, decision: Decision): void {
  let level = tree;
  for (const name of others) {
    const group = groupOf(facts, name);
    const next: Level = level.next.get(group) ?? { next: new Map() };
    level.next.set(group, next);
    level = next;
  }
  level.decision = decision;
}
