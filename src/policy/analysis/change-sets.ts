/** Sets of changes as they are shown: sets that differ in what one fact changes to are one set, with all that it may change to. */

import { OTHER } from './classes.ts';
import type { Value } from './evaluations.ts';
import type { Choice, NewValue, Unit } from './moves.ts';

/** What each unit changes to. */
export type Chosen = ReadonlyMap<Unit, Choice>;

export interface FactChange {
  /** Such as `r.user.plan`. */
  readonly path: string;
  readonly from: Value;
  readonly to: NewValue;
}

/** Changes that are enough together, and of which none can be left out. */
export interface ChangeSet {
  /** How many things change: facts, or groups of facts that change together. */
  readonly size: number;
  readonly changes: readonly FactChange[];
}

/** Units with what each may change to: any of the choices will do, whatever is chosen of the others. */
type Product = ReadonlyMap<Unit, readonly Choice[]>;

/** The sets, smallest first, without those of which a part is among them. `now`: the values before, by path. */
export function mergedSets(found: readonly Chosen[], now: ReadonlyMap<string, Value>): ChangeSet[] {
  const products = minimalOf(found, now).map(
    (set): Product => new Map([...set].map(([unit, choice]) => [unit, [choice]] as const)),
  );
  return merge(products)
    .map((product) => ({ size: product.size, changes: changesOf(product, now) }))
    .sort((a, b) => a.size - b.size);
}

/** Without the sets of which a part, fact by fact, is among them; of units of one fact the search has left out such. */
function minimalOf(found: readonly Chosen[], now: ReadonlyMap<string, Value>): readonly Chosen[] {
  if (!found.some((set) => [...set.keys()].some(({ paths }) => paths.length > 1))) return found;
  const pairs = found.map((set) => pairsOf(set, now));
  return found.filter(
    (_, index) => !pairs.some((other, at) => at !== index && isProperPart(other, pairs[index] as ReadonlySet<string>)),
  );
}

/** What changes, fact by fact. */
const pairsOf = (set: Chosen, now: ReadonlyMap<string, Value>): ReadonlySet<string> =>
  new Set(
    [...set].flatMap(([{ paths, shown }, { values }]) =>
      paths.flatMap((path, index) =>
        values[index] === now.get(path) || !shown.has(path) ? [] : [`${path} ${String(values[index])}`],
      ),
    ),
  );

const isProperPart = (part: ReadonlySet<string>, whole: ReadonlySet<string>): boolean =>
  part.size < whole.size && [...part].every((pair) => whole.has(pair));

/** Unit by unit: products that are equal in all others become one. Only units of one fact, since `NewValue` says it of one. */
function merge(products: readonly Product[]): readonly Product[] {
  const units = new Set(products.flatMap((product) => [...product.keys()]));
  const numbers = new Map([...units].flatMap((unit) => unit.choices).map((choice, index) => [choice, index]));
  const nameOf = (product: Product, but: Unit): string =>
    [...product]
      .map(
        ([unit, choices]) =>
          `${unit.paths[0]} ${unit === but ? '' : choices.map((choice) => numbers.get(choice)).sort()}`,
      )
      .sort()
      .join(';');
  let merged = products;
  for (const unit of units) {
    if (unit.paths.length > 1) continue;
    const byRest = new Map<string, Product>();
    for (const product of merged) {
      const name = nameOf(product, unit);
      const before = byRest.get(name)?.get(unit);
      const choices = product.get(unit);
      byRest.set(name, before && choices ? new Map([...product, [unit, [...before, ...choices]]]) : product);
    }
    merged = [...byRest.values()];
  }
  return merged;
}

function changesOf(product: Product, now: ReadonlyMap<string, Value>): FactChange[] {
  const order = [...now.keys()];
  return [...product]
    .flatMap(([{ paths, shown, choices: all }, choices]) =>
      paths.flatMap((path, index): FactChange[] => {
        const from = now.get(path) as Value;
        const values = choices.flatMap((choice) =>
          paths.length > 1 ? [choice.values[index] as Value] : textual(choice),
        );
        if (values.includes(from) || !shown.has(path)) return [];
        if (!choices.some((choice) => choice.all.includes(OTHER))) return [{ path, from, to: { anyOf: values } }];
        const left = all.filter((choice) => !choices.includes(choice)).flatMap(textual);
        return [{ path, from, to: { noneOf: [from, ...left] } }];
      }),
    )
    .sort((a, b) => order.indexOf(a.path) - order.indexOf(b.path));
}

const textual = ({ all }: Choice): readonly Value[] => all.filter((value) => value !== OTHER);
