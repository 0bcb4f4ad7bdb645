/**
 * The brute-force oracle of `diff` and `table`: small random policies, and all their situations, as a plain product filtered by
 * `canOccur`; rows are decided by the tests' own evaluator.
 */

import { expect } from 'chai';
import fc from 'fast-check';
import { parseRule } from '../../src/policy/casbin/rule.ts';
import type { Policy } from '../../src/policy/decide.ts';
import { ACTION_PATH, type Facts } from '../../src/policy/facts.ts';
import { compilePolicy } from '../../src/policy/policy.ts';
import { BUILT_IN } from '../../src/policy/schema.ts';
import { productOf } from '../support/facts.ts';
import { canOccur } from './oracle.ts';
import { chooser, holds, matches, readPrint, type Tree, treesOf, write } from './rules.ts';
import { shippedTexts } from './texts.ts';

export interface Line {
  readonly id: string;
  readonly action: string;
  readonly tree: Tree;
  readonly code: string;
}

const CODES = ['OK', 'PERMISSION_DENIED', 'USER_DISABLED', 'BUSINESS_DISABLED'];
const PATTERNS = ['*', 'user:*', 'user:usage:*', 'user:usage:read', 'call:*', 'call:create'];
const ACTIONS = ['user:usage:read', 'user:usage:x', 'user:x', 'users:x', 'call:create', 'call:x', 'x:y'];
const TEXTS: Readonly<Record<string, readonly string[]>> = {
  'r.key.id': ['k1', 'k2', ''],
  'r.key.environment': ['prod', ''],
  'r.target.id': ['b1', ''],
  'r.request.action': ['user:usage:read', 'user:x', 'call:create'],
};
const CLOSED: Readonly<Record<string, readonly string[]>> = {
  'r.key.status': ['active', 'expired', 'revoked', 'unknown'],
  'r.user.status': ['active', 'disabled', 'unknown'],
  'r.user.businesses': ['active', 'disabled'],
  'r.target.status': ['none', 'active', 'disabled', 'unknown'],
  'r.target.role': ['owner', 'member', 'none', 'other'],
};
const BOOLEANS = ['r.key.userManagement', 'r.target.inRestriction', 'r.limit.exceeded'];

const enumerated = { ...TEXTS, ...CLOSED };
const comparison = fc
  .constantFrom(...Object.keys(enumerated))
  .chain((path) =>
    fc
      .tuple(fc.subarray([...(enumerated[path] ?? [])], { minLength: 1, maxLength: 2 }), fc.boolean())
      .map(
        ([values, not]): Tree =>
          values.length > 1
            ? { kind: 'in', path, values }
            : { kind: 'equals', path, value: values[0] ?? expect.fail(), not },
      ),
  );
const leaf = fc.oneof(
  comparison,
  fc.constantFrom(...BOOLEANS).map((path): Tree => ({ kind: 'fact', path })),
  fc.constantFrom(...PATTERNS).map((pattern): Tree => ({ kind: 'keyMatch', pattern })),
);
const tree = treesOf(leaf, 3, { maxDepth: 2 });

const line = fc.tuple(fc.constantFrom(...PATTERNS), tree, fc.constantFrom(...CODES));
/** Holds wherever nothing may be allowed. */
const FORBIDDEN: Tree = ['r.key.status', 'r.user.status'].reduce<Tree>(
  (left, path) => ({ kind: 'either', left, right: { kind: 'equals', path, value: 'active', not: true } }),
  { kind: 'fact', path: 'r.freeze.active' },
);

/** Random rows, below one that denies what may never be allowed, and above one that matches everything. */
export const lines: fc.Arbitrary<readonly Line[]> = fc.array(line, { minLength: 1, maxLength: 4 }).map((drawn) => [
  {
    id: 'first',
    action: '*',
    tree: FORBIDDEN,
    code: 'INVALID_API_KEY',
  },
  ...drawn.map(([action, condition, code], index) => ({ id: `row-${index}`, action, tree: condition, code })),
  { id: 'last', action: '*', tree: { kind: 'constant', value: true }, code: 'PERMISSION_DENIED' },
]);

/** Two policies: independent, or one a small edit of the other. */
export const pairOfLines: fc.Arbitrary<readonly [readonly Line[], readonly Line[]]> = fc.oneof(
  fc.tuple(lines, lines),
  fc.tuple(lines, fc.nat(), fc.nat(3), tree, fc.constantFrom(...CODES)).map(([before, at, what, condition, code]) => {
    const place = 1 + (at % Math.max(1, before.length - 2));
    const edits: readonly ((row: Line) => readonly Line[])[] = [
      () => [],
      (row) => [{ ...row, code }],
      (row) => [{ ...row, tree: { kind: 'both', left: row.tree, right: condition } }],
      (row) => [{ ...row, id: 'renamed' }],
    ];
    return [before, before.flatMap((row, index) => (index === place ? (edits[what]?.(row) ?? []) : [row]))] as const;
  }),
);

/** The policy of these rows, under the shipped codes. */
export async function policyOf(rows: readonly Line[]): Promise<Policy> {
  const texts = new Map([...(await shippedTexts())].filter(([name]) => !name.endsWith('.csv')));
  const text = rows.map(({ id, action, tree: condition, code }, index) => {
    const when = parseRule(write(condition, chooser(index)), BUILT_IN).text;
    return `p, ${id}, ${action}, "${when}", ${code === 'OK' ? 'allow' : 'deny'}, ${code}\n`;
  });
  const { policy, findings } = await compilePolicy(texts.set('10-rows.csv', text.join('')));
  return policy ?? expect.fail(findings[0]?.message ?? 'no policy');
}

/** The row that decides, by the tests' own evaluator. */
export const deciderOf = (rows: readonly Line[], facts: Facts): Line =>
  rows.find((row) => matches(facts.request.action, row.action) && holds(row.tree, facts)) ??
  expect.fail('no row decides');

/** Whether a printed condition holds. It must parse as a rule. */
export function meaningOf(condition: string): (facts: Facts) => boolean {
  const node = readPrint(parseRule(condition, BUILT_IN).text);
  return (facts) => holds(node, facts);
}

/** All situations for these rows: of each text its constants, '' and one that no row names. */
export function everySituation(): Facts[] {
  const texts = Object.entries({ 'r.user.id': [''], ...TEXTS }).map(
    ([path, values]) => [path, [...new Set([...values, '', 'z'])]] as const,
  );
  const booleans = BOOLEANS.map((path) => [path, [true, false]] as const);
  const samples = new Map<string, readonly (string | boolean)[]>([...texts, ...Object.entries(CLOSED), ...booleans]);
  samples.delete(ACTION_PATH);
  // What can occur does not depend on the action, so it is asked once for all of them.
  return [...productOf(samples)]
    .filter(canOccur)
    .flatMap((facts) => ACTIONS.map((action) => ({ ...facts, request: { ...facts.request, action } })));
}
