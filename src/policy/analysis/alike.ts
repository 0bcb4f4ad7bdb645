/**
 * Which alternatives of a factor no test of a rule tells apart: the rule says the same of them, whatever its tests are joined by.
 * So a rule that asks for one of sixty values has two cases and not sixty.
 */

import { evaluationOf } from '../casbin/matcher.ts';
import type { Row } from '../row.ts';
import type { Schema } from '../schema.ts';
import { BudgetExceeded, MAX_BUDGET } from './budget.ts';
import { evaluationsOf } from './evaluations.ts';
import { definitionOf, type Factor, seenAs } from './factors.ts';
import { testsByPath } from './reasons.ts';
import type { Region } from './regions.ts';

/** By the indices of a factor and of an alternative of it: a name that those share that are alike. */
export type Alike = (factor: number, alternative: number) => string;

/** Of the rule of a row that is written in terms of one of the schemas. Its tests come out by Casbin's own evaluator. */
export function alikeFor({ when }: Pick<Row, 'when'>, factors: readonly Factor[], schema: Schema, view: number): Alike {
  const tests = testsByPath([when.tree]);
  const isTrue = evaluationsOf(schema.nothingKnown);
  const names = new Map<number, readonly string[]>();
  const namesIn = ({ columns, alternatives }: Factor): string[] => {
    const read = columns.flatMap(({ path, views }, at) => {
      const definition = views.includes(view) ? definitionOf(schema, path) : undefined;
      return definition ? (tests.get(path) ?? []).map((test) => ({ path, definition, at, test })) : [];
    });
    return alternatives.map(({ values }) =>
      read
        .map(({ path, definition, at, test }) => {
          const value = seenAs(path, definition, values[at] ?? definition.none);
          return Number(isTrue(test, new Map([[path, value]])));
        })
        .join(''),
    );
  };
  return (factor, alternative) => {
    const known = names.get(factor) ?? namesIn(factors[factor] as Factor);
    names.set(factor, known);
    return known[alternative] ?? '';
  };
}

/** What one rule may cost at once, since there is no pause within: about 0.2 s. */
const MAX_OF_A_RULE = MAX_BUDGET / 20;

/**
 * How many combinations of alternatives that are not alike a region has, of these factors.
 * @throws BudgetExceeded: more than a row may be asked about at once
 */
export function combinationsIn(row: Row, region: Region, reads: readonly number[], alike: Alike): number {
  const count = reads.reduce(
    (product, factor) => product * new Set((region[factor] ?? []).map((one) => alike(factor, one))).size,
    1,
  );
  if (count * evaluationOf(row) > MAX_OF_A_RULE) throw new BudgetExceeded(row);
  return count;
}
