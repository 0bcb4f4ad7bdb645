/** From the texts of a policy folder to a policy that may decide, or to all that is wrong with them. */

import { createHash } from 'node:crypto';
import { prove } from './analysis/proofs.ts';
import { drain, inTurns, turn } from './analysis/time-slices.ts';
import { createMatcher, type Matcher } from './casbin/matcher.ts';
import { checkCases, parseAllCases } from './folder/cases.ts';
import { type Code, checkCodesUsed, parseCodes } from './folder/codes.ts';
import { checkFiles, checkSizes, decisiveFiles, type PolicyTexts, ROW_FILE } from './folder/files.ts';
import { collector, type Finding, printFinding, type Report } from './folder/findings.ts';
import { INVARIANTS_FILE, parseInvariants } from './folder/invariants.ts';
import { parseRows, type Row } from './folder/rows.ts';

/** A checked policy: immutable, and the same for ever under the same digest. */
export interface Policy {
  /** `sha256:` and 64 hex digits, of model.conf, the CSV files and codes.yaml. */
  readonly digest: string;
  readonly rows: readonly Row[];
  readonly codes: ReadonlyMap<string, Code>;
  /** The first row that matches, with Casbin's own verdict. Throws when a rule does. `decide` is what to call. */
  readonly match: Matcher['match'];
  /** What `match` costs at most, in units of about 20 ns. */
  readonly costOf: Matcher['costOf'];
}

export type Built =
  | { readonly policy: Policy; readonly findings: readonly [] }
  | { readonly policy?: never; readonly findings: readonly Finding[] };

/**
 * Parses, checks and builds. Findings come sorted by place; a folder with any finding has no policy. Proofs are made and
 * cases run whenever the rows are sound, whatever else is wrong. Lets other work go on meanwhile.
 */
export async function buildPolicy(texts: PolicyTexts): Promise<Built> {
  const { report, all } = collector();
  const policy = checkSizes(texts, report) ? await check(texts, report) : undefined;
  const findings = all();
  if (policy && findings.length === 0) return { policy, findings: [] };
  if (findings.length === 0) throw new Error('a policy was refused without a finding');
  return { findings };
}

/**
 * A policy as soon as its files, codes and rows are sound, for verbs that say what a policy does while it is being edited
 * and its cases or invariants don't hold yet.
 *
 * INVARIANT: what this gives never goes live; `buildPolicy` alone says that a policy may.
 */
export function compilePolicy(texts: PolicyTexts): { policy: Policy | undefined; findings: readonly Finding[] } {
  const { report, all } = collector();
  const read = checkSizes(texts, report) ? drain(readPolicy(texts, report)) : undefined;
  const findings = all();
  return { policy: findings.length === 0 ? read?.policy : undefined, findings };
}

interface Read {
  readonly codes: ReadonlyMap<string, Code>;
  /** Absent, with a finding, where the rows are not sound. */
  readonly policy?: Policy;
  readonly matcher?: Matcher;
}

function* readPolicy(texts: PolicyTexts, report: Report): Generator<void, Read> {
  let sound = true;
  checkFiles(texts, (finding) => {
    // A row with something unseen in it is not the row that it seems to be.
    if (ROW_FILE.test(finding.file)) sound = false;
    report(finding);
  });
  const codes = parseCodes(texts.get('codes.yaml'), report);
  const rows = yield* soundRows(texts, codes, report);
  if (!rows || !sound) return { codes };
  const matcher = createMatcher(rows);
  const { match, costOf } = matcher;
  return {
    codes,
    matcher,
    policy: Object.freeze({ digest: digestOf(texts), rows: Object.freeze(rows), codes, match, costOf }),
  };
}

/** undefined, with a finding, where the rows are not sound. */
async function check(texts: PolicyTexts, report: Report): Promise<Policy | undefined> {
  const { codes, policy, matcher } = await inTurns(readPolicy(texts, report));
  const cases = parseAllCases(texts, report);
  const invariants = parseInvariants(texts.get(INVARIANTS_FILE), codes, report);
  if (!policy || !matcher) return undefined;
  checkCodesUsed(codes, policy.rows, texts.get('codes.yaml'), report);
  for (const work of [
    prove(matcher, policy.rows, invariants, report),
    checkCases(policy, cases, matcher.costOf, report),
  ]) {
    for (const _ of work) await turn();
  }
  return policy;
}

/** undefined where any row has a finding, or where codes.yaml is so broken that none can be judged. */
function* soundRows(
  texts: PolicyTexts,
  codes: ReadonlyMap<string, Code>,
  report: Report,
): Generator<void, Row[] | undefined> {
  let sound = true;
  const rows = yield* parseRows(texts, codes, (finding) => {
    sound = false;
    report(finding);
  });
  if (!sound || codes.size === 0) return undefined;
  if (rows.length > 0) return rows;
  const message = 'there is no row beside it; write rows into files such as 10-api-key.csv';
  report({ file: 'model.conf', line: 1, column: 1, rule: 'no-rows', message });
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
 * A policy from texts that were checked before, or that need not pass: what they say is only read, in turns of the event loop.
 * Every rule has been run once, so that no decision has to wait for Casbin to make ready for it.
 * @throws Error when they cannot be read, with the first reason.
 */
export async function assemblePolicy(texts: PolicyTexts): Promise<Policy> {
  const { report, all } = collector();
  const read = checkSizes(texts, report) ? await inTurns(readPolicy(texts, report)) : undefined;
  const [first] = all();
  if (first || !read?.policy || !read.matcher) throw new Error(first ? printFinding(first) : 'there is no policy');
  await inTurns(read.matcher.warm());
  return read.policy;
}
