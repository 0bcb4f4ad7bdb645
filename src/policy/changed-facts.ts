/** Facts of which some have other values: what if it were otherwise? */

import type { Facts } from './facts.ts';

type Nested = { readonly [name: string]: string | boolean | Nested };

/**
 * A copy of the facts with these values, by path. They are not checked: `read` of the schema says whether they are facts, and
 * can occur together.
 */
export function withValues(facts: Facts, values: ReadonlyMap<string, string | boolean>): Facts {
  let changed = facts as unknown as Nested;
  for (const [path, value] of values) changed = withValue(changed, path.split('.').slice(1), value);
  return changed as unknown as Facts;
}

function withValue(of: Nested, [name = '', ...rest]: readonly string[], value: string | boolean): Nested {
  return { ...of, [name]: rest.length === 0 ? value : withValue((of[name] ?? {}) as Nested, rest, value) };
}
