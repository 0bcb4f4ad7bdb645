/**
 * From the texts of a policy folder to a policy that may decide, or to all that is wrong with them. The only file that
 * drives Casbin: an enforcer is built aside, once, and never loaded into again.
 */

import { createHash } from 'node:crypto';
import { type Model, newEnforcer, newModelFromString } from 'casbin';
import { checkCases } from './cases.ts';
import { type Code, parseCodes } from './codes.ts';
import { FACT_GROUPS, type Facts } from './facts.ts';
import { byPlace, type Finding, printFinding } from './finding.ts';
import { MODEL } from './model.ts';
import { checkFiles, decisiveFiles, type PolicyTexts, parseRows, type Row } from './parse.ts';
import { checkSituations } from './situations.ts';

/** A checked policy: immutable, and the same for ever under the same digest. */
export interface Policy {
  /** `sha256:` and 64 hex digits, of model.conf, the CSV files and codes.yaml. */
  readonly digest: string;
  readonly rows: readonly Row[];
  readonly codes: ReadonlyMap<string, Code>;
  /** The first row that matches, with Casbin's own verdict. Throws when a rule does. `decide` is what to call. */
  readonly match: (facts: Facts) => { readonly row: Row | undefined; readonly allowed: boolean };
}

export type Built =
  | { readonly policy: Policy; readonly findings: readonly [] }
  | { readonly policy?: never; readonly findings: readonly Finding[] };

/**
 * Parses, checks and builds. Findings come sorted by place; a folder with any finding has no policy. Cases run and all
 * situations are enumerated only once the texts themselves are sound.
 */
export async function buildPolicy(texts: PolicyTexts): Promise<Built> {
  const { policy, findings } = await compilePolicy(texts);
  if (!policy) return { findings };
  const report = (finding: Finding): void => void findings.push(finding);
  checkSituations(policy, report);
  checkCases(policy, texts, report);
  return findings.length > 0 ? { findings: findings.sort(byPlace) } : { policy, findings: [] };
}

/**
 * The first half of `buildPolicy`: a policy as soon as the texts are sound, for verbs that say what a policy does while
 * it is being edited and its cases don't hold yet.
 *
 * INVARIANT: what this gives never goes live; `buildPolicy` alone says that a policy may.
 */
export async function compilePolicy(
  texts: PolicyTexts,
): Promise<{ readonly policy: Policy | undefined; readonly findings: Finding[] }> {
  const findings: Finding[] = [];
  const report = (finding: Finding): void => void findings.push(finding);
  checkFiles(texts, report);
  const codes = parseCodes(texts.get('codes.yaml'), report);
  const rows = parseRows(texts, codes, report);
  if (rows.length === 0 && findings.length === 0) {
    report({
      file: 'model.conf',
      line: 1,
      column: 1,
      rule: 'no-rows',
      message: 'there is no row beside it; write rows into files such as 10-api-key.csv',
    });
  }
  if (findings.length > 0) return { policy: undefined, findings: findings.sort(byPlace) };
  const policy: Policy = Object.freeze({
    digest: digestOf(texts),
    rows: Object.freeze(rows),
    codes,
    match: await matcherOf(rows),
  });
  return { policy, findings: [] };
}

/** Names and texts are length-prefixed, so that no two folders share the bytes that are hashed. */
function digestOf(texts: PolicyTexts): string {
  const hash = createHash('sha256');
  for (const name of decisiveFiles(texts)) {
    for (const part of [name, texts.get(name) ?? '']) {
      hash.update(`${Buffer.byteLength(part)}:`);
      hash.update(part);
    }
  }
  return `sha256:${hash.digest('hex')}`;
}

async function matcherOf(rows: readonly Row[]): Promise<Policy['match']> {
  const byId = new Map(rows.map((row) => [row.id, row]));
  const enforcer = await newEnforcer(newModelFromString(MODEL), {
    // Rows go in as arrays: Casbin's own text adapter mangles quoted text.
    loadPolicy: async (model: Model) => {
      for (const row of rows) model.addPolicy('p', 'p', [row.id, row.action, row.when.text, row.effect, row.code]);
    },
  });
  return (facts) => {
    const [allowed, matched] = enforcer.enforceExSync(...FACT_GROUPS.map((group) => facts[group]));
    return { allowed, row: matched[0] === undefined ? undefined : byId.get(matched[0]) };
  };
}

/**
 * A policy from texts that were checked before, or that need not pass: what they say is only read.
 * @throws Error when they cannot be read, with the first reason.
 */
export async function assemblePolicy(texts: PolicyTexts): Promise<Policy> {
  const { policy, findings } = await compilePolicy(texts);
  if (!policy) throw new Error(findings.slice(0, 1).map(printFinding).join());
  return policy;
}
