/** `authz audit findings`: hygiene findings, each with the commands that mend it. */

import type { Command } from 'commander';
import { recordAccess } from '../../audit/access-log.ts';
import { validate } from '../../input/scalars.ts';
import { hygieneQuery, listHygieneFindings } from '../../key-hygiene/findings.ts';
import { THRESHOLDS } from '../../key-hygiene/rules.ts';
import { withDatabase } from '../terminal/database.ts';
import { type Format, pageOptions, verb } from '../terminal/options.ts';
import { escaped, print, printJson } from '../terminal/output.ts';

type Options = Format & Readonly<Record<string, string>>;

/** Adds the verb to `authz audit`. */
export function addFindingsVerb(audit: Command): void {
  const command = pageOptions(
    verb(
      audit,
      'findings',
      'which keys should not be as they are, and who tries bad credentials',
      'findings --finding key-unused --unused-days 30',
    ),
  ).option('--finding <name>', 'of this kind only');
  for (const [name, { default: value, help }] of Object.entries(THRESHOLDS)) {
    command.option(`--${dashed(name)} <n>`, help, String(value));
  }
  command.action(findings);
}

const dashed = (name: string): string => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

const findings = ({ json, ...options }: Options): Promise<void> =>
  withDatabase(async ({ db, actor, cursors }) => {
    const { limit, cursor, finding, ...thresholds } = validate(hygieneQuery, options);
    const page = await listHygieneFindings(db, { finding, thresholds }, { limit, cursor }, cursors);
    await recordAccess(db, actor, 'findings', { finding, ...thresholds, limit, cursor });
    if (json) return printJson(page);
    if (page.items.length === 0) return print('nothing was found');
    for (const { finding: name, says, advice, commands } of page.items) {
      print([`${name}: ${says}`, `  ${advice}`, ...commands.map((line) => `    ${line}`)].map(escaped).join('\n'));
    }
    if (page.nextCursor) print(`\nMore: add --cursor ${page.nextCursor}`);
  });
