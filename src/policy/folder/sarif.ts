/** Findings as SARIF 2.1.0, the format of code scanning. Written from the OASIS standard, section numbers beside it. */

import type { Finding } from './findings.ts';
import { FINDING_RULES } from './findings.ts';

const SCHEMA = 'https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json';
/** Where each rule has a section of its name, relative to the root of the repository. */
export const FINDINGS_PAGE = 'docs/policy-findings.md';

/**
 * A log of one run. `uriOf`: the address of a file of the folder, relative to where the repository begins, or absolute.
 */
export function toSarif(findings: readonly Finding[], version: string, uriOf: (file: string) => string): object {
  const names = Object.keys(FINDING_RULES);
  return {
    $schema: SCHEMA,
    version: '2.1.0',
    runs: [
      {
        // 3.19: the tool, and every rule that it knows, found or not.
        tool: { driver: { name: 'authz policy check', semanticVersion: version, rules: rules() } },
        // 3.14.17: our columns count as JavaScript does.
        columnKind: 'utf16CodeUnits',
        results: findings.map(({ file, line, column, rule, message }) => ({
          ruleId: rule,
          ruleIndex: names.indexOf(rule),
          level: LEVELS[FINDING_RULES[rule].level],
          message: { text: message },
          locations: [
            {
              physicalLocation: {
                artifactLocation: { uri: uriOf(file) },
                region: { startLine: line, startColumn: column },
              },
            },
          ],
        })),
      },
    ],
  };
}

/** 3.27.10: the level of a result. */
const LEVELS = { error: 'error', warning: 'warning', advice: 'note' } as const;

/** 3.49: what each rule means and how to mend what it finds, for readers who have only the report. */
const rules = (): object[] =>
  Object.entries(FINDING_RULES).map(([id, { level, says, mend }]) => ({
    id,
    shortDescription: { text: says },
    fullDescription: { text: `${says} ${mend}` },
    help: {
      text: `${says} ${mend} See ${FINDINGS_PAGE}, section ${id}.`,
      markdown: `${says} ${mend}\n\nSee \`${FINDINGS_PAGE}#${id}\`.`,
    },
    defaultConfiguration: { level: LEVELS[level] },
  }));
