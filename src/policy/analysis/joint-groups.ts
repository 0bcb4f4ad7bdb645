/** Which networks of two policies one address can lie in, and which schedules of two policies one moment can, for their difference. */

import { compileNetworks } from '../declared/networks.ts';
import { compileSchedules } from '../declared/schedules.ts';
import type { Group } from '../facts.ts';
import type { Schema } from '../schema.ts';
import { runToEnd } from '../time-slices.ts';

/** What is combined of two schemas. */
export interface Joint {
  /** The names that mean the same in both. */
  readonly same: ReadonlySet<string>;
  /** Each combination that occurs, of `new name`, and of `old name` where that means something else. */
  readonly groups: readonly Group[];
}

const joints = new WeakMap<Schema, WeakMap<Schema, ReadonlyMap<string, Joint>>>();

/**
 * The combinations of a group under two schemas, compiled once for each pair.
 * @throws TooManyGroups
 */
export function jointOf(older: Schema, newer: Schema, group: 'network' | 'schedule'): Joint {
  const byNewer = joints.get(older) ?? new WeakMap<Schema, ReadonlyMap<string, Joint>>();
  joints.set(older, byNewer);
  const known = byNewer.get(newer)?.get(group);
  if (known) return known;
  const joint =
    group === 'network'
      ? join(older.declaration.networks, newer.declaration.networks, newer.networks.groups, (both) =>
          runToEnd(compileNetworks(both)),
        )
      : join(older.declaration.schedules, newer.declaration.schedules, newer.schedules.groups, compileSchedules);
  byNewer.set(newer, new Map([...(byNewer.get(newer) ?? []), [group, joint]]));
  return joint;
}

/** `groups`: those of `recent` alone, which are all where nothing of the other means something else. */
function join<T extends { readonly name: string }>(
  old: readonly T[],
  recent: readonly T[],
  groups: readonly Group[],
  compile: (both: readonly T[]) => { readonly groups: readonly Group[] },
): Joint {
  const textOf = (one: T): string => JSON.stringify({ ...one, withholds: undefined });
  const texts = new Map(old.map((one) => [one.name, textOf(one)]));
  const same = new Set(recent.filter((one) => texts.get(one.name) === textOf(one)).map(({ name }) => name));
  const different = old.filter(({ name }) => !same.has(name));
  if (different.length === 0) return { same, groups: groups.map(renamed) };
  const both = [
    ...different.map((one) => ({ ...one, name: `old ${one.name}` })),
    ...recent.map((one) => ({ ...one, name: `new ${one.name}` })),
  ];
  return { same, groups: compile(both).groups };
}

const renamed = (group: Group): Group =>
  Object.fromEntries(Object.entries(group).map(([name, value]) => [`new ${name}`, value]));
