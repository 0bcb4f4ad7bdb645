/** Objects that can carry facts: plain copies, getters and proxies, some of which return another value at the second read. */

import type { Facts } from '../../src/policy/facts.ts';

export type Open = Record<string, Record<string, unknown>>;

export const open = (facts: Facts): Open =>
  Object.fromEntries(Object.entries(facts).map(([group, values]) => [group, { ...values }]));

export const mapGroups = (
  facts: Open,
  carry: (group: Record<string, unknown>, name: string) => unknown,
): Record<string, unknown> =>
  Object.fromEntries(Object.entries(facts).map(([name, group]) => [name, carry(group, name)]));

/** `target` with a getter in the place of one fact. */
export const withGetter = (target: object, fact: string, get: () => unknown): Record<string, unknown> =>
  Object.defineProperty(target as Record<string, unknown>, fact, { get, enumerable: true, configurable: true });

/** `before` at the first read, `after` at each later one. */
export function once<T>(before: T, after: T): () => T {
  let reads = 0;
  return () => {
    reads += 1;
    return reads === 1 ? before : after;
  };
}

/** Getters that return from `first` at the first read, and from `later` afterwards. */
export const behindGetters = (first: Facts, later: Facts): Facts =>
  mapGroups(open(first), (group, name) =>
    Object.keys(group).reduce(
      (to, fact) => withGetter(to, fact, once(group[fact], open(later)[name]?.[fact])),
      {} as Record<string, unknown>,
    ),
  ) as unknown as Facts;

/** The same by proxies, of the groups as well as of the facts. */
export function behindProxies(first: Facts, later: Facts): Facts {
  const layer = (before: object, after: object): object => {
    const answers = new Map(
      Object.keys(before).map((name) => [name, once(Reflect.get(before, name), Reflect.get(after, name))]),
    );
    return new Proxy({ ...before }, { get: (_, name) => answers.get(String(name))?.() });
  };
  return layer(
    mapGroups(open(first), (group, name) => layer(group, open(later)[name] ?? {})),
    later,
  ) as Facts;
}
