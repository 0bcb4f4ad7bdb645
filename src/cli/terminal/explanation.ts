/** An explanation of a decision as text, for `policy explain` and `audit show`. */

import type { Explanation, TriedRow } from '../../policy/explain.ts';
import type { Facts, Group } from '../../policy/facts.ts';
import { escaped } from './output.ts';

/** The decision, the facts, and the rows that were tried, each with what settled it; escaped. */
export function explanationText({ policy, facts, decision, tried }: Explanation): string {
  return [
    `${decision.effect} ${decision.code} by the row ${decision.rule}`,
    `policy ${policy}`,
    '',
    'Facts:',
    ...factsTexts(facts).map((text) => `  ${text}`),
    '',
    'Rows, in their order, up to the first that matches:',
    ...tried.flatMap((row, index) => rowLines(row, index + 1)),
  ]
    .map(escaped)
    .join('\n');
}

/** The facts, each group on one line: `key.id='k1' key.status='active' ..`. */
export const factsTexts = (facts: Facts): string[] =>
  Object.entries(facts).map(([name, group]) => valuesOf(name, group as Group).join(' '));

const valuesOf = (path: string, group: Group): string[] =>
  Object.entries(group).flatMap(([fact, value]) =>
    typeof value === 'object' ? valuesOf(`${path}.${fact}`, value) : [`${path}.${fact}=${literal(value)}`],
  );

const literal = (value: string | boolean): string =>
  typeof value === 'string' ? `'${escaped(value)}'` : String(value);

function rowLines({ rule, file, line, effect, code, matched, reasons }: TriedRow, number: number): string[] {
  const because = reasons.map(
    ({ test, value, fact }) =>
      `       ${test} is ${value}${fact && fact.path !== test ? `: ${fact.path} is ${literal(fact.value)}` : ''}`,
  );
  const verdict = matched ? `matches: ${effect} ${code}` : 'does not match';
  return [`  ${number}. ${rule} (${file}:${line}) ${verdict}, because`, ...because];
}
