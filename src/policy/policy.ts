/** Compiles the texts of a policy folder into a policy that may decide, or into findings that say all that is wrong. */

import { prove } from './analysis/proofs.ts';
import { checkCases } from './analysis/run-cases.ts';
import { createMatcher, type Matcher } from './casbin/matcher.ts';
import type { Policy } from './decide.ts';
import type { Declaration } from './declared/declaration.ts';
import { TooManyGroups } from './declared/networks.ts';
import { ALWAYS } from './declared/parse-schedule.ts';
import { parseAllCases } from './folder/cases.ts';
import { asItLooks } from './folder/characters.ts';
import { checkCodesUsed, parseCodes } from './folder/codes.ts';
import { digestOf } from './folder/digest.ts';
import { parseFactsFile } from './folder/facts-file.ts';
import {
  CODES_FILE,
  checkFiles,
  checkSizes,
  FACTS_FILE,
  GATEWAY_FILE,
  INVARIANTS_FILE,
  MODEL_FILE,
  NAMES_FILE,
  NETWORK_FILE,
  type PolicyTexts,
  ROW_FILE,
} from './folder/files.ts';
import { collector, type Finding, isAdvice, printFinding, type Report, type ReportError } from './folder/findings.ts';
import { parseGatewayFile } from './folder/gateway-file.ts';
import { parseInvariants } from './folder/invariants.ts';
import { parseNamesFile } from './folder/names-file.ts';
import { readNetworkFiles } from './folder/network-files.ts';
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
  const policy = (await runInSlices(checkSizes(texts, report))) ? await check(texts, report) : undefined;
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
  const read = runToEnd(checkSizes(texts, report)) ? runToEnd(readPolicy(texts, report)) : undefined;
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

/** What becomes of network files: `past` for a policy that looks up no address, of which they are hashed and no more. */
type Lists = 'read' | 'past';

const looksAt = (texts: PolicyTexts, lists: Lists): PolicyTexts =>
  lists === 'read' ? texts : new Map([...texts].filter(([name]) => !NETWORK_FILE.test(name)));

function* readPolicy(given: PolicyTexts, report: ReportError, lists: Lists = 'read'): Generator<void, Read> {
  let valid = true;
  yield* checkFiles(looksAt(given, lists), (finding) => {
    // A row with an invisible character is not the row that it looks like.
    if (ROW_FILE.test(finding.file)) valid = false;
    report(finding);
  });
  // Network files are looked at line by line.
  const texts = new Map([...given].map(([name, text]) => [name, NETWORK_FILE.test(name) ? text : asItLooks(text)]));
  const codes = parseCodes(texts.get(CODES_FILE), report);
  const factsFault: ReportError = (finding) => {
    valid = false;
    report(finding);
  };
  const declaration = parseFactsFile(texts.get(FACTS_FILE), factsFault);
  const whole = lists === 'read' ? yield* readNetworkFiles(declaration, texts, factsFault) : declaration;
  const schema = yield* schemaFor(whole, factsFault);
  const names = parseNamesFile(texts.get(NAMES_FILE), schema, factsFault);
  const gateway = yield* parseGatewayFile(texts.get(GATEWAY_FILE), schema, factsFault);
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
      digest: yield* digestOf(texts),
      schema,
      rows: Object.freeze(rows),
      codes,
      names,
      gateway,
      match,
      matchesAlone,
      costOf,
    }),
  };
}

/** The schema of a declaration; where that has too many combinations, a finding, and one of the same facts without these. */
function* schemaFor(declaration: Declaration, report: ReportError): Generator<void, Schema> {
  try {
    return yield* compileSchema(declaration);
  } catch (error) {
    if (!(error instanceof TooManyGroups)) throw error;
    report({ file: FACTS_FILE, line: 1, column: 1, rule: 'too-large', message: error.message });
    return yield* compileSchema({
      ...declaration,
      networks: declaration.networks.map((one) => ({ ...one, prefixes: [] })),
      schedules: declaration.schedules.map((one) => ({ ...one, ...ALWAYS })),
    });
  }
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

/**
 * A policy from texts that were checked before, or that need not pass (a shadow policy): parsed only, in
 * slices of the event loop. Every rule is evaluated once, so that no decision waits for Casbin to compile it.
 * @throws Error with the first finding, when they cannot be parsed.
 */
export const assemblePolicy = (texts: PolicyTexts): Promise<Policy> => assemble(texts, 'read');

/**
 * A policy of the past, to decide on recorded facts again: those say in which networks an address lay, so its network files count in
 * the digest and are not read, which would take seconds for 16 MiB. Looking up an address in it throws.
 * @throws Error with the first finding, when the texts cannot be parsed.
 */
export const assemblePast = (texts: PolicyTexts): Promise<Policy> => assemble(texts, 'past');

async function assemble(texts: PolicyTexts, lists: Lists): Promise<Policy> {
  const { report, all } = collector();
  const fits = await runInSlices(checkSizes(looksAt(texts, lists), report));
  const read = fits ? await runInSlices(readPolicy(texts, report, lists)) : undefined;
  const [first] = all();
  if (first || !read?.policy || !read.matcher) throw new Error(first ? printFinding(first) : 'there is no policy');
  await runInSlices(read.matcher.warm());
  return read.policy;
}
