/** Facts for tests: only those that a test is about are written out, so that a fact that is added needs no edit elsewhere. */

import { NOTHING_DECLARED } from '../../src/policy/declared/declaration.ts';
import { closed, FACTS, FACTS_VERSION, type FactGroup, type Facts } from '../../src/policy/facts.ts';
import { BUILT_IN, type Schema, schemaOf } from '../../src/policy/schema.ts';

/** The groups of facts that every policy has. */
export const GROUPS = BUILT_IN.groups as readonly FactGroup[];

export type FactParts = { readonly [Group in FactGroup]?: Partial<Facts[Group]> };

/** `base` with the facts of `parts` in the place of its own; a group that `parts` does not name is that of `base` itself. */
export const factsWith = (parts: FactParts, base: Facts = BUILT_IN.nothingKnown): Facts =>
  closed(
    Object.fromEntries(
      GROUPS.map((group) => [group, parts[group] ? closed({ ...base[group], ...parts[group] }) : base[group]]),
    ),
  ) as unknown as Facts;

/** A member of an active business asks for `call:create` with an active key. */
export const ACTIVE: Facts = factsWith({
  key: { id: 'k1', status: 'active', environment: 'production' },
  user: { id: 'u1', status: 'active' },
  target: { id: 'b1', status: 'active', role: 'member', inRestriction: true },
  request: { action: 'call:create' },
});

/** BUILT_IN as if `limit.exceeded` came with the next version: a schema of which every fact can be read today. */
export const WITH_LATER_LIMIT: Schema = schemaOf(NOTHING_DECLARED, {
  ...FACTS,
  limit: { ...FACTS.limit, exceeded: { ...FACTS.limit.exceeded, since: FACTS_VERSION + 1 } },
});

/** The facts as a record or a case holds them that is older than `limit.exceeded` in WITH_LATER_LIMIT. */
export function withoutLimit({ limit, ...facts }: Facts): Readonly<Record<string, Readonly<Record<string, unknown>>>> {
  const { exceeded: _, ...rest } = limit;
  return { ...facts, limit: rest };
}

/** Values of facts by path, such as `r.key.status`. */
export type Samples = ReadonlyMap<string, readonly (string | boolean)[]>;

/** The product of the samples of all facts, whether it can occur or not. A fact without samples keeps its default. */
export function* productOf(samples: Samples): Generator<Facts> {
  const groups = GROUPS.map((group) => {
    let combined: Readonly<Record<string, string | boolean>>[] = [{}];
    for (const [fact, { none }] of BUILT_IN.factsOf(group)) {
      const values = samples.get(`r.${group}.${fact}`) ?? [none];
      combined = combined.flatMap((rest) => values.map((value) => ({ ...rest, [fact]: value })));
    }
    return combined;
  });
  const combine = function* (from: number, chosen: Record<string, unknown>): Generator<Facts> {
    const group = GROUPS[from];
    if (group === undefined) return yield { ...chosen } as unknown as Facts;
    for (const facts of groups[from] ?? []) yield* combine(from + 1, { ...chosen, [group]: facts });
  };
  yield* combine(0, {});
}

/** Whether a record has nothing but its own members: what it inherits from, if anything, is empty for good. */
export function inheritsNothing(record: object): boolean {
  const prototype = Object.getPrototypeOf(record) as object | null;
  return (
    prototype === null ||
    (Object.getPrototypeOf(prototype) === null && Reflect.ownKeys(prototype).length === 0 && Object.isFrozen(prototype))
  );
}
