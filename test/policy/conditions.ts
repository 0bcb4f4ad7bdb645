/** Reads the conditions that `diff` and `table` print, with the labels `@old` and `@new`, into trees: by a parser of the tests' own. */

import type { Tree } from './rules.ts';

const PATH = /r(?:\.[A-Za-z][A-Za-z0-9_]*){2,3}(?:@old|@new)?/;

/** The tree of a condition; its paths are the labels. @throws SyntaxError for anything else */
export function readCondition(text: string): Tree {
  let at = 0;
  const take = (token: RegExp): string | undefined => {
    const found = new RegExp(`\\s*(${token.source})`, 'y');
    found.lastIndex = at;
    const match = found.exec(text);
    if (match) at += match[0].length;
    return match?.[1];
  };
  const must = (token: RegExp): string => {
    const found = take(token);
    if (found === undefined) throw new SyntaxError(`${token} must stand at ${at} of ${text}`);
    return found;
  };
  const literal = (): string => must(/'[A-Za-z0-9._:*-]*'/).slice(1, -1);
  const joined = (operator: RegExp, kind: 'both' | 'either', part: () => Tree): Tree => {
    let left = part();
    while (take(operator)) left = { kind, left, right: part() };
    return left;
  };
  const either = (): Tree => joined(/\|\|/, 'either', both);
  const both = (): Tree => joined(/&&/, 'both', one);
  function one(): Tree {
    if (take(/!(?!=)/)) return { kind: 'not', of: one() };
    if (take(/\(/)) {
      const inside = either();
      must(/\)/);
      return inside;
    }
    if (take(/true\b/)) return { kind: 'constant', value: true };
    if (take(/keyMatch\(r\.request\.action,/)) {
      const pattern = literal();
      must(/\)/);
      return { kind: 'keyMatch', pattern };
    }
    const path = must(PATH);
    const comparison = take(/==|!=/);
    if (comparison) return { kind: 'equals', path, value: literal(), not: comparison === '!=' };
    if (!take(/in\b/)) return { kind: 'fact', path };
    must(/\[/);
    const values = [literal()];
    while (take(/,/)) values.push(literal());
    must(/\]/);
    return { kind: 'in', path, values };
  }
  const whole = either();
  must(/$/);
  return whole;
}
