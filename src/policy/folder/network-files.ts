/** The files of networks beside `facts.yaml`: one prefix a line. They may have 16 MiB, so they are read in slices. */

import type { Declaration, DeclaredNetwork } from '../declared/declaration.ts';
import { parsePrefix } from '../declared/prefix.ts';
import { asItLooks } from './characters.ts';
import { FACTS_FILE, LIMITS, linesOf, NETWORK_FILE, type PolicyTexts, unreadFolder, unreadLink } from './files.ts';
import type { ReportError } from './findings.ts';

/**
 * The declaration with the prefixes of its files. Reports each line that is none, files that are missing, and those that no
 * network names.
 */
export function* readNetworkFiles(
  declaration: Declaration,
  texts: PolicyTexts,
  report: ReportError,
): Generator<void, Declaration> {
  const read = new Map<string, readonly string[]>();
  for (const { file } of declaration.networks) {
    if (file !== undefined && !read.has(file)) read.set(file, yield* readFile(file, texts, report));
  }
  for (const file of texts.keys()) {
    if (!NETWORK_FILE.test(file) || read.has(file)) continue;
    const message = `no network of ${FACTS_FILE} names this file; remove it, or write NAME: { file: ${file} } there`;
    report({ file, line: 1, column: 1, rule: 'unknown-file', message });
  }
  const networks = declaration.networks.map(
    (network): DeclaredNetwork =>
      network.file === undefined ? network : { ...network, prefixes: read.get(network.file) ?? [] },
  );
  const prefixes = networks.reduce((sum, network) => sum + (network.prefixes?.length ?? 0), 0);
  if (prefixes <= LIMITS.prefixes) return { ...declaration, networks };
  const message = `the networks have at most ${LIMITS.prefixes} prefixes together, and ${prefixes} now; write shorter ones that cover many`;
  report({ file: FACTS_FILE, line: 1, column: 1, rule: 'too-large', message });
  return { ...declaration, networks: [] };
}

function* readFile(file: string, texts: PolicyTexts, report: ReportError): Generator<void, readonly string[]> {
  const text = texts.get(file);
  if (text !== undefined) return yield* parseNetworkFile(file, text, report);
  // What is there and could not be read has its finding.
  if (texts.has(unreadLink(file)) || texts.has(unreadFolder(file))) return [];
  const message = `${FACTS_FILE} names this file, and it is missing; put it beside ${FACTS_FILE}`;
  report({ file, line: 1, column: 1, rule: 'missing-file', message });
  return [];
}

/** So many lines are read between two yields: some 0.1 ms. */
const PIECE = 64;
/** More findings of one file are not listed. */
const MOST_FAULTS = 1001;

/** The prefixes of a network file: one a line, `#` begins a comment. Whatever else stands there is a finding. */
export function* parseNetworkFile(file: string, text: string, report: ReportError): Generator<void, string[]> {
  const prefixes: string[] = [];
  let [number, faults] = [0, 0];
  for (const line of linesOf(text)) {
    number += 1;
    if (number % PIECE === 0) yield;
    const [before = ''] = asItLooks(line).split('#', 1);
    const prefix = before.trim();
    if (prefix === '') continue;
    const read = parsePrefix(prefix);
    if ('fault' in read) {
      const column = line.length - line.trimStart().length + 1;
      report({ file, line: number, column, rule: 'prefix', message: read.fault });
      faults += 1;
      if (faults === MOST_FAULTS) break;
    } else prefixes.push(prefix);
  }
  return prefixes;
}
