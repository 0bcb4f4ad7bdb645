/** Compiles the texts of a policy folder into a policy that may decide, or into findings that say all that is wrong. */

import { createHash } from 'node:crypto';
import { prove } from './analysis/proofs.ts';
import { checkCases } from './analysis/run-cases.ts';
import { createMatcher, type Matcher } from './casbin/matcher.ts';
import type { Policy } from './decide.ts';
import { parseAllCases } from './folder/cases.ts';
import { asItLooks } from './folder/characters.ts';
import { checkCodesUsed, parseCodes } from './folder/codes.ts';
import { parseFactsFile } from './folder/facts-file.ts';
import {
  CODES_FILE,
  checkFiles,
  checkSizes,
  decisiveFiles,
  FACTS_FILE,
  INVARIANTS_FILE,
  MODEL_FILE,
  type PolicyTexts,
  ROW_FILE,
} from './folder/files.ts';
import { collector, type Finding, isAdvice, printFinding, type Report, type ReportError } from './folder/findings.ts';
import { parseInvariants } from './folder/invariants.ts';
import { checkRegister } from './folder/register.ts';
import { parseRows } from './folder/rows.ts';
import type { Code, Row } from './row.ts';
import { compileSchema, type Schema } from './schema.ts';
import { nextTurn, runInSlices, runToEnd } from './time-slices.ts';

export type Built = {
  /** What is doubtful and not in the way. */
  readonly advice: readonly Finding[];
} & (
  | { readonly policy: Policy; readonly findings: readonly [] }
  | { readonly policy?: never; readonly findings: readonly Finding[] }
);

/**
 * Parses, proves, runs the cases. Findings are sorted by place; a folder with any finding has no policy. Proofs and cases
 * run whenever the rows are valid, whatever else is wrong. Works in slices of the event loop.
 */
export async function buildPolicy(texts: PolicyTexts): Promise<Built> {
  const { report, all } = collector();
  const policy = checkSizes(texts, report) ? await check(texts, report) : undefined;
  const [advice, findings] = [true, false].map((wanted) => all().filter((finding) => isAdvice(finding) === wanted)) as [
    Finding[],
    Finding[],
  ];
  if (policy && findings.length === 0) return { policy, findings: [], advice };
  if (findings.length === 0) throw new Error('a policy was refused without a finding');
  return { findings, advice };
}

/**
 * A policy whose files, codes and rows are valid, without proofs or cases: for commands that say what a policy does while it
 * is being edited.
 *
 * INVARIANT: what this returns never goes live; only what `buildPolicy` returns may.
 */
export function compilePolicy(texts: PolicyTexts): { policy: Policy | undefined; findings: readonly Finding[] } {
  const { report, all } = collector();
  const read = checkSizes(texts, report) ? runToEnd(readPolicy(texts, report)) : undefined;
  const findings = all();
  return { policy: findings.length === 0 ? read?.policy : undefined, findings };
}

interface Read {
  /** With plain spaces in place of others, which have their findings. */
  readonly texts: PolicyTexts;
  readonly schema: Schema;
  readonly codes: ReadonlyMap<string, Code>;
  /** Absent, with a finding, where the rows are not valid. */
  readonly policy?: Policy;
  readonly matcher?: Matcher;
}

function* readPolicy(given: PolicyTexts, report: ReportError): Generator<void, Read> {
  let valid = true;
  checkFiles(given, (finding) => {
    // A row with an invisible character is not the row that it looks like.
    if (ROW_FILE.test(finding.file)) valid = false;
    report(finding);
  });
  const texts = new Map([...given].map(([name, text]) => [name, asItLooks(text)]));
  const codes = parseCodes(texts.get(CODES_FILE), report);
  const schema = yield* compileSchema(
    parseFactsFile(texts.get(FACTS_FILE), (finding) => {
      valid = false;
      report(finding);
    }),
  );
  const rows = yield* validRows(texts, schema, codes, report);
  if (!rows || !valid) return { texts, schema, codes };
  const matcher = createMatcher(rows, schema);
  const { match, matchesAlone, costOf } = matcher;
  return {
    texts,
    schema,
    codes,
    matcher,
    policy: Object.freeze({
      digest: digestOf(texts),
      schema,
      rows: Object.freeze(rows),
      codes,
      match,
      matchesAlone,
      costOf,
    }),
  };
}

/** undefined, with a finding, where the rows are not valid. */
async function check(given: PolicyTexts, report: Report): Promise<Policy | undefined> {
  const { texts, schema, codes, policy, matcher } = await runInSlices(readPolicy(given, report));
  const cases = parseAllCases(texts, schema, report);
  const invariants = parseInvariants(texts.get(INVARIANTS_FILE), schema, codes, report);
  if (!policy || !matcher) return undefined;
  checkRegister(policy.rows, schema.declaration.actions, report);
  checkCodesUsed(codes, policy.rows, texts.get(CODES_FILE), report);
  for (const work of [
    prove(matcher, policy.rows, invariants, report),
    checkCases(policy, cases, matcher.costOf, report),
  ]) {
    for (const _ of work) await nextTurn();
  }
  return policy;
}

/** undefined where any row has a finding, or where codes.yaml gives no codes to check them against. */
function* validRows(
  texts: PolicyTexts,
  schema: Schema,
  codes: ReadonlyMap<string, Code>,
  report: ReportError,
): Generator<void, Row[] | undefined> {
  let valid = true;
  const rows = yield* parseRows(texts, schema, codes, (finding) => {
    valid = false;
    report(finding);
  });
  if (!valid || codes.size === 0) return undefined;
  if (rows.length > 0) return rows;
  const message = 'there is no row beside it; write rows into files such as 10-api-key.csv';
  report({ file: MODEL_FILE, line: 1, column: 1, rule: 'no-rows', message });
  return undefined;
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

/**
 * A policy from texts that were checked before, or that need not pass (a shadow policy, one of the past): parsed only, in
 * slices of the event loop. Every rule is evaluated once, so that no decision waits for Casbin to compile it.
 * @throws Error with the first finding, when they cannot be parsed.
 */
export async function assemblePolicy(texts: PolicyTexts): Promise<Policy> {
  const { report, all } = collector();
  const read = checkSizes(texts, report) ? await runInSlices(readPolicy(texts, report)) : undefined;
  const [first] = all();
  if (first || !read?.policy || !read.matcher) throw new Error(first ? printFinding(first) : 'there is no policy');
  await runInSlices(read.matcher.warm());
  return read.policy;
}
