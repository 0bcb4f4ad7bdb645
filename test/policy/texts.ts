/**
 * What the tests of `policy/` share: the shipped folder's texts, edits that fail when they do not apply, the findings of the
 * result, and stock Casbin, so that a test first shows that a trap of Casbin is real.
 */

import { fileURLToPath } from 'node:url';
import { type Enforcer, type Model, newEnforcer, newModelFromString, StringAdapter } from 'casbin';
import { expect } from 'chai';
import { modelFor } from '../../src/policy/casbin/model.ts';
import type { Policy } from '../../src/policy/decide.ts';
import { NO_ROUTES } from '../../src/policy/declared/gateway.ts';
import { NO_NAMES } from '../../src/policy/declared/names.ts';
import type { Facts } from '../../src/policy/facts.ts';
import type { PolicyTexts } from '../../src/policy/folder/files.ts';
import { buildPolicy } from '../../src/policy/policy.ts';
import type { Row } from '../../src/policy/row.ts';
import { BUILT_IN } from '../../src/policy/schema.ts';
import { readPolicyFolder } from '../../src/rollout/folder.ts';
import { GROUPS } from '../support/facts.ts';

export const POLICY_FOLDER = fileURLToPath(new URL('../../policies', import.meta.url));

/** The seed of all properties; titles name it. `FC_SEED=n` repeats a run. */
export const SEED = Number(process.env['FC_SEED'] ?? 20_260_101);

/** Parameters of a property: the seed, and how often it runs. */
export const times = (numRuns: number): { seed: number; numRuns: number } => ({ seed: SEED, numRuns });

export const shippedTexts = (): Promise<PolicyTexts> => readPolicyFolder(POLICY_FOLDER);

let shipped: Promise<Policy> | undefined;

/** The shipped policy, checked once a process. */
export function shippedPolicy(): Promise<Policy> {
  shipped ??= buildShipped();
  return shipped;
}

async function buildShipped(): Promise<Policy> {
  const { policy, findings } = await buildPolicy(await shippedTexts());
  if (!policy) throw new Error(`the shipped policy is refused: ${findings[0]?.message}`);
  return policy;
}

/** `texts` with one file replaced, added, or (undefined) removed. */
export function withFile(texts: PolicyTexts, file: string, text: string | undefined): PolicyTexts {
  const copy = new Map(texts);
  if (text === undefined) copy.delete(file);
  else copy.set(file, text);
  return copy;
}

/** `texts` with `from`, which must stand in `file` exactly once, replaced by `to`. */
export function edited(texts: PolicyTexts, file: string, from: string, to: string): PolicyTexts {
  const parts = texts.get(file)?.split(from);
  expect(parts, `${JSON.stringify(from)} stands in ${file} exactly once`).to.have.lengthOf(2);
  return withFile(texts, file, parts?.join(to));
}

/** The findings about `texts` as `file:line:column rule`, in the order in which they are given. */
export async function findingsOf(texts: PolicyTexts): Promise<string[]> {
  const { policy, findings } = await buildPolicy(texts);
  expect(policy === undefined, 'there is a policy exactly when there is no finding').to.equal(findings.length > 0);
  return findings.map(({ file, line, column, rule }) => `${file}:${line}:${column} ${rule}`);
}

/** Stock Casbin: `rows` of any shape under any model. */
export const stockEnforcer = (rows: readonly (readonly string[])[], model = modelFor(BUILT_IN)): Promise<Enforcer> =>
  newEnforcer(newModelFromString(model), {
    loadPolicy: async (into: Model) => {
      for (const row of rows) into.addPolicy('p', 'p', [...row]);
    },
  });

/** Stock Casbin on the files, read by its own text adapter. */
export function stockOf(folder: PolicyTexts): Promise<Enforcer> {
  const rows = [...folder.keys()].filter((name) => name.endsWith('.csv')).sort();
  return newEnforcer(
    newModelFromString(folder.get('model.conf') ?? ''),
    new StringAdapter(rows.map((name) => folder.get(name)).join('\n')),
  );
}

export const stockArguments = (facts: Facts): unknown[] => GROUPS.map((group) => facts[group]);

/** A policy of unchecked rows, under stock Casbin. */
export async function uncheckedPolicy(rows: readonly Row[], codes: Policy['codes'] = new Map()): Promise<Policy> {
  const byId = new Map(rows.map((row) => [row.id, row]));
  const enforcer = await stockEnforcer(rows.map((row) => [row.id, row.action, row.when.text, row.effect, row.code]));
  const match: Policy['match'] = (facts) => {
    const [allowed, matched] = enforcer.enforceExSync(...stockArguments(facts));
    return { allowed, row: byId.get(matched[0] ?? '') };
  };
  return {
    digest: 'sha256:unchecked',
    schema: BUILT_IN,
    rows,
    codes,
    names: NO_NAMES,
    gateway: NO_ROUTES,
    match,
    matchesAlone: expect.fail,
    costOf: () => 0,
  };
}
