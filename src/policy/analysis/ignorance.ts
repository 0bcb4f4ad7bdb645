/**
 * Proves that ignorance grants nothing: what is allowed while an attribute is unknown, a grant is not there, a role is undeclared, an
 * address is missing or in no network, or nothing is said of what is asked, is allowed with every value that is declared, too. So
 * nobody gains by a value that is missing or left out. Of what says `withholds: true` it proves the other way round: whoever has it
 * is allowed no more than without it.
 */

import type { Matcher } from '../casbin/matcher.ts';
import { mayBeAllowed } from '../decide.ts';
import type { Declaration } from '../declared/declaration.ts';
import { UNKNOWN } from '../declared/table.ts';
import type { Facts } from '../facts.ts';
import type { Row } from '../row.ts';
import type { Schema } from '../schema.ts';
import { type Budget, isPauseDue, spend } from './budget.ts';
import { ADDRESSED_PATH, type Column, type Factor, ROLE_PATH } from './factors.ts';
import { choiceIn, type Region, withOpen } from './regions.ts';
import { type ExtentIn, ruleExtents } from './rule-extent.ts';
import { type Cell, type Space, spacesOf } from './situations.ts';
import { type Box, overlaps, pointIn } from './text-sets.ts';

/** Situations that differ in one fact, or in where the address lies, of which the first is allowed and the second is not. */
export interface Gain {
  /** The row that denies the second. */
  readonly row: Row;
  /** The facts in which they differ, by path. */
  readonly paths: readonly string[];
  readonly allowed: Facts;
  readonly denied: Facts;
}

interface Search {
  readonly space: Space<Row>;
  readonly cell: Cell;
  readonly rows: readonly { readonly row: Row; readonly extentIn: ExtentIn }[];
  readonly budget: Budget;
  /** For each factor: whether nothing may be lost from one alternative to another; undefined: nobody can leave it out. */
  readonly steps: readonly (IsStep | undefined)[];
}

type IsStep = (from: number, to: number) => boolean;

/** Yields each gain that it finds, one for each class of situations, and undefined where a pause is due. @throws BudgetExceeded */
export function* gainsByIgnorance(
  matcher: Matcher,
  rows: readonly Row[],
  budget: Budget,
): Generator<Gain | undefined, void> {
  const { schema } = matcher;
  const extentOf = ruleExtents(matcher, budget);
  for (const space of spacesOf(rows, [schema])) {
    const steps = space.factors.map((factor) => stepsOf(factor, schema.declaration));
    if (steps.every((isStep) => isStep === undefined)) continue;
    const here = space.items.map((row) => ({ row, extentIn: extentOf(row, space) }));
    for (const cell of space.cells) {
      if (isPauseDue(budget)) yield undefined;
      if (!couldBeAllowed(cell, schema)) continue;
      yield* gainsIn({ space, cell, rows: here, budget, steps }, space.regionOf(cell), 0, []);
    }
  }
}

/** Whether anything may be allowed in a cell, of an action that is registered. */
export const couldBeAllowed = ({ facts }: Cell, schema: Schema): boolean =>
  mayBeAllowed({ ...facts, request: { ...facts.request, registered: true } }, schema);

/** Goes through what is allowed, and looks from there where a step leads. */
function* gainsIn(search: Search, region: Region, from: number, given: readonly Box[]): Generator<Gain | undefined> {
  const before = [...given];
  if (isPauseDue(search.budget)) yield undefined;
  for (const [index, { row, extentIn }] of [...search.rows.entries()].slice(from)) {
    const parts = extentIn.partsOf(search.cell, region);
    if (parts.length > 1) {
      for (const part of parts) yield* gainsIn(search, part.region, index, before);
      return;
    }
    const extent = parts[0]?.value;
    if (!extent || extent.boxes.length === 0) continue;
    if (row.effect === 'allow') yield* lossesFrom(search, region, extent.boxes, before);
    if (extent.always) return;
    before.push(...extent.boxes);
  }
}

/** What is allowed in a region, of these texts and none of those before, and is denied one step further. */
function* lossesFrom(
  search: Search,
  region: Region,
  boxes: readonly Box[],
  before: readonly Box[],
): Generator<Gain | undefined> {
  for (const [index, isStep] of search.steps.entries()) {
    const open = region[index] ?? [];
    const { alternatives, applies } = search.space.factors[index] as Factor;
    const all = alternatives.length;
    // Where all are open, all are allowed; and of a target that there is not, nothing else can be known.
    if (!isStep || open.length === all || !applies(search.cell.facts)) continue;
    spend(search.budget, open.length * all);
    const done = new Set<string>();
    for (const [low, high] of stepsOutOf(open, all, isStep)) {
      for (const found of deniedIn(search, withOpen(region, index, [high]), boxes, before, 0, [])) {
        if (!found) {
          yield undefined;
          continue;
        }
        const { row, choice, texts } = found;
        const paths = changed(search.space.factors[index] as Factor, low, high);
        if (done.has(`${row.id} ${paths.join()}`)) continue;
        done.add(`${row.id} ${paths.join()}`);
        const { space, cell, budget } = search;
        if (isPauseDue(budget)) yield undefined;
        spend(budget, WITNESS * (space.schemas[0]?.paths.size ?? 0), row);
        yield {
          row,
          paths,
          allowed: space.factsOf(cell, choice.with(index, low), texts),
          denied: space.factsOf(cell, choice, texts),
        };
      }
    }
  }
}

/** What each fact costs of a gain that is written down, twice: in units of the budget, as measured. */
const WITNESS = 100;

/** The steps that lead out of what is open. */
function* stepsOutOf(open: readonly number[], all: number, isStep: IsStep): Generator<readonly [number, number]> {
  const inside = new Set(open);
  for (let high = 0; high < all; high += 1) {
    if (inside.has(high)) continue;
    for (const low of open) if (isStep(low, high)) yield [low, high];
  }
}

interface Denied {
  readonly row: Row;
  readonly choice: readonly number[];
  readonly texts: ReadonlyMap<string, string>;
}

/** The denials in a region, of texts that lie in `boxes` and in none of `avoid`; undefined where a pause is due. */
function* deniedIn(
  search: Search,
  region: Region,
  boxes: readonly Box[],
  avoid: readonly Box[],
  from: number,
  given: readonly Box[],
): Generator<Denied | undefined> {
  const { cell, budget } = search;
  const before = [...given];
  if (isPauseDue(budget)) yield undefined;
  for (const [index, { row, extentIn }] of [...search.rows.entries()].slice(from)) {
    const parts = extentIn.partsOf(search.cell, region);
    if (parts.length > 1) {
      for (const part of parts) yield* deniedIn(search, part.region, boxes, avoid, index, before);
      return;
    }
    const extent = parts[0]?.value;
    if (!extent || extent.boxes.length === 0) continue;
    if (row.effect === 'deny') {
      for (const want of overlaps(extent.boxes, boxes)) {
        const texts = pointIn(want, [...avoid, ...before], cell.open, budget);
        if (!texts) continue;
        yield { row, choice: choiceIn(region), texts };
        break;
      }
    }
    if (extent.always) return;
    before.push(...extent.boxes);
  }
}

/** The facts in which two alternatives differ. */
const changed = ({ columns, alternatives }: Factor, low: number, high: number): string[] =>
  columns.flatMap(({ path }, at) => (alternatives[low]?.values[at] === alternatives[high]?.values[at] ? [] : [path]));

/** From which alternatives of a factor to which others nothing may be lost; undefined: from none. */
function stepsOf({ columns, alternatives }: Factor, declaration: Declaration): IsStep | undefined {
  const senses = columns.map((column) => senseOf(column, declaration));
  if (senses.includes('none')) return undefined;
  return (from, to) =>
    columns.every(({ path }, at) =>
      rises(path, alternatives[from]?.values[at], alternatives[to]?.values[at], senses[at] as Sense),
    );
}

type Sense = 'grants' | 'withholds' | 'none';

/** Whether one value is what holds where nothing is known, and the other a declared one, in the direction of the sense. */
function rises(path: string, low: unknown, high: unknown, sense: Sense): boolean {
  if (low === high) return true;
  // To have no role is known.
  if (path === ROLE_PATH) return low === 'other' && high !== 'none';
  const ignorant = sense === 'grants' ? low : high;
  return ignorant === false || ignorant === UNKNOWN;
}

/** Whether a fact is meant to give or to take away; `none`: nobody can leave it out. */
function senseOf({ path }: Column, { attributes, asked, networks }: Declaration): Sense {
  const [, group, name = ''] = path.split('.');
  if (path === ROLE_PATH || path === ADDRESSED_PATH) return 'grants';
  const declared =
    group === 'network'
      ? networks.find((network) => network.name === name)
      : group === 'asked'
        ? asked.get(name)
        : group === 'key' || group === 'user'
          ? attributes[group].get(name)
          : group === 'target'
            ? attributes.business.get(name)
            : undefined;
  if (declared === undefined) return 'none';
  return declared.withholds ? 'withholds' : 'grants';
}
