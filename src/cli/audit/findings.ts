/** `authz audit findings`: hygiene findings, each with the commands that mend it. */

import type { Command } from 'commander';
import { recordAccess } from '../../audit/access-log.ts';
import { validate } from '../../input/scalars.ts';
import { hygieneQuery, listHygieneFindings, thresholdsOf } from '../../key-hygiene/findings.ts';
import { type Kind, THRESHOLDS } from '../../key-hygiene/kind.ts';
import { HYGIENE_KINDS } from '../../key-hygiene/rules.ts';
import { NOTHING_DECLARED } from '../../policy/declared/declaration.ts';
import { withPresentDatabase } from '../terminal/database.ts';
import { declarationHere } from '../terminal/declaration.ts';
import { type JsonOption, pageOptions, verb } from '../terminal/options.ts';
import { escaped } from '../terminal/output.ts';
import type { Terminal } from '../terminal/terminal.ts';

type Options = JsonOption & Readonly<Record<string, string>>;

/** Adds the verb to `authz audit`. */
export function addFindingsVerb(audit: Command, terminal: Terminal): void {
  const command = pageOptions(
    verb(
      audit,
      'findings',
      'which keys should not be as they are, and who tries bad credentials',
      'findings --finding key-unused --unused-days 30',
    ),
  ).option('--finding <name>', 'of this kind only');
  for (const [name, { default: value, help }] of Object.entries(THRESHOLDS)) {
    command.option(`--${dashed(name)} <n>`, `${help}; default: ${value}, or that of FINDINGS_THRESHOLDS`);
  }
  command.action((options: Options) => findings(terminal, options));
}

const dashed = (name: string): string => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

const findings = (terminal: Terminal, { json, ...options }: Options): Promise<void> =>
  withPresentDatabase(terminal, async ({ db, actor, cursors }) => {
    const { limit, cursor, finding, ...asked } = validate(hygieneQuery, options);
    const thresholds = thresholdsOf(terminal.config().FINDINGS_THRESHOLDS, asked);
    // For no other kind, so that a folder that is being edited is in nobody's way.
    const { needsDeclared }: Partial<Kind> =
      finding === undefined ? { needsDeclared: 'values' } : HYGIENE_KINDS[finding];
    const declaration = needsDeclared ? await declarationHere(terminal) : NOTHING_DECLARED;
    const page = await listHygieneFindings(db, { finding, thresholds, declaration }, { limit, cursor }, cursors);
    await recordAccess(db, actor, 'findings', { finding, ...thresholds, limit, cursor });
    if (json) return terminal.printJson(page);
    if (page.items.length === 0) return terminal.print('nothing was found');
    for (const { finding: name, says, advice, commands } of page.items) {
      terminal.print(
        [`${name}: ${says}`, `  ${advice}`, ...commands.map((line) => `    ${line}`)].map(escaped).join('\n'),
      );
    }
    if (page.nextCursor) terminal.print(`\nMore: add --cursor ${page.nextCursor}`);
  });
