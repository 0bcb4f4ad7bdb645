/**
 * The brute-force oracle where policies declare facts: random declarations with random rows over them, and for each situation the
 * row that decides it, by the tests' own evaluator. `declarations.ts` says which situations there are, and what their facts are.
 */

import { expect } from 'chai';
import fc from 'fast-check';
import type { Policy } from '../../src/policy/decide.ts';
import type { Facts } from '../../src/policy/facts.ts';
import type { PolicyTexts } from '../../src/policy/folder/files.ts';
import { printFinding } from '../../src/policy/folder/findings.ts';
import { compilePolicy } from '../../src/policy/policy.ts';
import { readCondition } from './conditions.ts';
import {
  BUILT_IN_FACTS,
  declaredFacts,
  everySituation,
  type Flat,
  factsFile,
  factsIn,
  isStrict,
  PATTERNS,
  type Situation,
  type Spec,
  spec,
  specPair,
  type Value,
} from './declarations.ts';
import { evaluate, matches, type Tree, treesOf, write } from './rules.ts';
import { shippedTexts } from './texts.ts';

export interface Line {
  readonly id: string;
  readonly action: string;
  readonly tree: Tree;
  readonly code: string;
}

export interface Declared {
  readonly spec: Spec;
  readonly rows: readonly Line[];
}

const CODES = ['OK', 'OK', 'PERMISSION_DENIED', 'USER_DISABLED', 'BUSINESS_DISABLED'];
export const someCode = fc.constantFrom(...CODES);
export const somePattern = fc.constantFrom('*', '*', ...PATTERNS);

type Leaves = ReadonlyMap<string, readonly Value[]>;

/** All facts of a declaration that rows of the tests read, with the values that a rule can name. */
const leavesOf = (of: Spec): Leaves => new Map([...BUILT_IN_FACTS, ...declaredFacts(of)]);

const leafOf = (path: string, values: readonly Value[]): fc.Arbitrary<Tree> => {
  if (typeof values[0] === 'boolean') return fc.constant<Tree>({ kind: 'fact', path });
  return fc
    .tuple(fc.subarray([...values], { minLength: 1, maxLength: 2 }), fc.boolean())
    .map(
      ([chosen, not]): Tree =>
        chosen.length > 1
          ? { kind: 'in', path, values: chosen }
          : { kind: 'equals', path, value: chosen[0] ?? expect.fail(), not },
    );
};

/** Conditions over a few of the leaves, so that rows read the same facts. */
export function treesOver(leaves: Leaves): fc.Arbitrary<Tree> {
  const leaf = fc.oneof(
    { arbitrary: fc.constantFrom(...leaves).chain(([path, values]) => leafOf(path, values)), weight: 6 },
    { arbitrary: fc.constantFrom(...PATTERNS).map((pattern): Tree => ({ kind: 'keyMatch', pattern })), weight: 1 },
  );
  return treesOf(leaf, 3, { maxDepth: 2 });
}

/** One or two built-in facts, and up to four that are declared. */
const palette = (leaves: Leaves, declared: ReadonlySet<string>): fc.Arbitrary<Leaves> =>
  fc
    .tuple(
      fc.subarray(
        [...leaves.keys()].filter((path) => !declared.has(path)),
        { maxLength: 2 },
      ),
      fc.shuffledSubarray([...declared], { minLength: Math.min(1, declared.size), maxLength: 4 }),
    )
    .map(([a, b]) => new Map([...a, ...b].map((path) => [path, leaves.get(path) ?? []])));

const FORBIDDEN = ['r.key.status', 'r.user.status'].reduce<Tree>(
  (left, path) => ({ kind: 'either', left, right: { kind: 'equals', path, value: 'active', not: true } }),
  { kind: 'fact', path: 'r.freeze.active' },
);
const UNREGISTERED: Tree = { kind: 'not', of: { kind: 'fact', path: 'r.request.registered' } };

/** Rows below those that deny what may never be allowed, and above one that matches everything. */
export const framed = (of: Spec, drawn: readonly Line[], last: string): readonly Line[] => [
  { id: 'first', action: '*', tree: FORBIDDEN, code: 'INVALID_API_KEY' },
  ...(isStrict(of) ? [{ id: 'register', action: '*', tree: UNREGISTERED, code: 'PERMISSION_DENIED' }] : []),
  ...drawn,
  { id: 'last', action: '*', tree: { kind: 'constant', value: true }, code: last },
];

export const drawnRows = (tree: fc.Arbitrary<Tree>): fc.Arbitrary<readonly Line[]> =>
  fc
    .array(fc.tuple(somePattern, tree, someCode), { minLength: 1, maxLength: 4 })
    .map((drawn) => drawn.map(([action, of, code], index) => ({ id: `row-${index}`, action, tree: of, code })));

export const lastCode = fc.constantFrom('OK', 'PERMISSION_DENIED');

const paletteOf = (of: Spec): fc.Arbitrary<Leaves> => palette(leavesOf(of), new Set(declaredFacts(of).keys()));

/** A declaration and trees over a few of its facts. */
export const withTrees = spec.chain((of) => paletteOf(of).map((leaves) => ({ spec: of, tree: treesOver(leaves) })));

export const declaredPolicy: fc.Arbitrary<Declared> = withTrees.chain(({ spec: of, tree }) =>
  fc.tuple(drawnRows(tree), lastCode).map(([rows, last]) => ({ spec: of, rows: framed(of, rows, last) })),
);

/** Two declarations, of which one is an edit of the other, with rows that are the same as far as that goes, or one of them edited. */
export const declaredPair: fc.Arbitrary<readonly [Declared, Declared]> = specPair.chain(([older, newer]) => {
  const leaves = new Map([...leavesOf(older), ...leavesOf(newer)]);
  const declared = new Set([...declaredFacts(older).keys(), ...declaredFacts(newer).keys()]);
  return palette(leaves, declared).chain((chosen) =>
    fc
      .tuple(drawnRows(treesOver(chosen)), lastCode, fc.option(fc.tuple(fc.nat(), treesOver(chosen), someCode)))
      .map(([rows, last, edit]): readonly [Declared, Declared] => {
        const at = edit ? edit[0] % rows.length : -1;
        const edited = rows.map((row, index) =>
          edit && index === at ? { ...row, tree: edit[1], code: edit[2] } : row,
        );
        const within = (of: Spec, lines: readonly Line[]): Declared => ({
          spec: of,
          rows: framed(
            of,
            lines.map((row) => ({ ...row, tree: restricted(row.tree, leavesOf(of)) })),
            last,
          ),
        });
        return [within(older, rows), within(newer, edited)];
      }),
  );
});

/** A tree with `false` in place of what a declaration does not have. */
function restricted(tree: Tree, leaves: Leaves): Tree {
  switch (tree.kind) {
    case 'not':
      return { kind: 'not', of: restricted(tree.of, leaves) };
    case 'both':
    case 'either':
      return { ...tree, left: restricted(tree.left, leaves), right: restricted(tree.right, leaves) };
    case 'fact':
      return typeof leaves.get(tree.path)?.[0] === 'boolean' ? tree : { kind: 'constant', value: false };
    case 'equals':
      return leaves.get(tree.path)?.includes(tree.value) ? tree : { kind: 'constant', value: false };
    case 'in': {
      const values = tree.values.filter((value) => leaves.get(tree.path)?.includes(value));
      return values.length > 0 ? { ...tree, values } : { kind: 'constant', value: false };
    }
    default:
      return tree;
  }
}

/** The facts that a tree reads. */
export function pathsOf(tree: Tree): readonly string[] {
  switch (tree.kind) {
    case 'not':
      return pathsOf(tree.of);
    case 'both':
    case 'either':
      return [...pathsOf(tree.left), ...pathsOf(tree.right)];
    case 'constant':
    case 'keyMatch':
      return [];
    default:
      return [tree.path];
  }
}

export const printed = (tree: Tree): string => write(tree, () => 0);

/** The folder of a policy, without cases and with the shipped codes. */
export async function textsOf({ spec: of, rows }: Declared): Promise<PolicyTexts> {
  const shipped = [...(await shippedTexts())].filter(([name]) => name === 'model.conf' || name === 'codes.yaml');
  const text = rows.map(
    ({ id, action, tree, code }) =>
      `p, ${id}, ${action}, "${printed(tree)}", ${code === 'OK' ? 'allow' : 'deny'}, ${code}\n`,
  );
  return new Map([...shipped, ['10-rows.csv', text.join('')], ['facts.yaml', factsFile(of)]]);
}

export async function policyOf(declared: Declared): Promise<Policy> {
  const { policy, findings } = compilePolicy(await textsOf(declared));
  return policy ?? expect.fail(findings[0] ? printFinding(findings[0]) : 'no policy');
}

/** The situations that rows of these policies, and other trees, can tell apart. */
export function situationsFor(
  all: readonly Declared[],
  most: number,
  others: readonly Tree[] = [],
): readonly Situation[] | undefined {
  const named = [...all.flatMap(({ rows }) => rows.map(({ tree }) => tree)), ...others].flatMap(pathsOf);
  return everySituation(
    all.map((one) => one.spec),
    new Set(named),
    most,
  );
}

export const holdsIn = (tree: Tree, facts: Flat): boolean =>
  evaluate(tree, (path) => facts[path] ?? expect.fail(`there is no fact ${path}`));

/** The row that decides. */
export const deciderIn = (rows: readonly Line[], facts: Flat): Line | undefined =>
  rows.find((row) => matches(String(facts['r.request.action']), row.action) && holdsIn(row.tree, facts));

/** What facts a situation has under each of one or two declarations. */
export const viewsOf = (all: readonly Declared[], situation: Situation): readonly Flat[] =>
  all.map((one) => factsIn(one.spec, situation));

/**
 * Whether a printed condition holds. A fact without `@old` or `@new` has one value: where one declaration knows it and the other
 * does not, that which is known.
 */
export function meaningIn(condition: string): (views: readonly Flat[]) => boolean {
  const tree = readCondition(condition);
  return (views) => evaluate(tree, (label) => valueOfLabel(label, views));
}

const IGNORANT: readonly (Value | undefined)[] = ['unknown', 'other', undefined];

function valueOfLabel(label: string, views: readonly Flat[]): Value {
  const [path = '', which] = label.split('@');
  if (which !== undefined) return views[which === 'old' ? 0 : 1]?.[path] ?? expect.fail(`${label} is no fact there`);
  const values = [...new Set(views.map((one) => one[path]))];
  const known = values.filter((value) => !IGNORANT.includes(value));
  if (known.length > 1) expect.fail(`${label} is ${values.join(' and ')}`);
  return known[0] ?? values.find((value) => value !== undefined) ?? expect.fail(`there is no fact ${label}`);
}

/** Facts by path. */
export function flatten(facts: Facts): Flat {
  const flat: Record<string, Value> = {};
  const visit = (path: string, value: unknown): void => {
    if (typeof value === 'object' && value !== null)
      for (const [name, inner] of Object.entries(value)) visit(`${path}.${name}`, inner);
    else flat[path] = value as Value;
  };
  visit('r', facts);
  return flat;
}

/** The record of facts by path. */
export function nested(flat: Flat): Facts {
  const facts: Record<string, unknown> = {};
  for (const [path, value] of Object.entries(flat)) {
    const names = path.split('.').slice(1);
    const last = names.pop() ?? '';
    const group = names.reduce((of, name) => {
      of[name] ??= {};
      return of[name] as Record<string, unknown>;
    }, facts);
    group[last] = value;
  }
  return facts as unknown as Facts;
}
