/** Classes of situations by what becomes of them, and under which conditions: what a table and a difference are made of. */

import { OverBound, type Partition, type SituationClass } from './classes.ts';
import { conditionOf } from './conditions.ts';
import { coverOf, MAX_CUBES } from './minimise.ts';

/** Classes that share a label. */
export interface Group {
  /** One of these holds of each of its classes, and none of them of any other that can occur. */
  readonly when: readonly string[];
  readonly classes: readonly SituationClass[];
}

/**
 * The classes of `partition` by their labels (undefined: in no group), each group with its conditions.
 * @throws OverBound
 */
export function groupsOf(partition: Partition, labels: readonly (string | undefined)[]): Map<string, Group> {
  const groups = new Map<string, Group>();
  for (const label of new Set(labels)) {
    if (label === undefined) continue;
    const [inside, outside] = [true, false].map((within) =>
      partition.classes.filter((_, index) => (labels[index] === label) === within),
    ) as [SituationClass[], SituationClass[]];
    groups.set(label, { when: conditionsOf(partition, inside, outside), classes: inside });
  }
  return groups;
}

function conditionsOf(
  { dimensions }: Partition,
  inside: readonly SituationClass[],
  outside: readonly SituationClass[],
): string[] {
  const covers = coverOf(
    inside.map(({ extent }) => extent),
    outside.map(({ extent }) => extent),
    dimensions.map(({ values }) => values.length),
  );
  if (!covers) {
    throw new OverBound(`it takes more than ${MAX_CUBES} conditions to say when this is so, which is the bound`);
  }
  return covers.sort((a, b) => b.count - a.count).map((cover) => conditionOf(cover, dimensions));
}
