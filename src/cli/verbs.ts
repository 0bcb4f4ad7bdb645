/** Adds all verbs but `serve`; `migrate` and `config` are defined here. */

import type { Command } from 'commander';
import { describeConfig } from '../config.ts';
import { openWithoutPeppers } from '../database.ts';
import { addAuditVerbs } from './audit/index.ts';
import { addBusinessVerbs, addMemberVerbs } from './directory/businesses.ts';
import { addCallerVerbs, addPepperVerbs } from './directory/callers.ts';
import { addFreezeVerbs } from './directory/freezes.ts';
import { addImportVerb } from './directory/import.ts';
import { addKeyVerbs } from './directory/keys.ts';
import { addUserVerbs } from './directory/users.ts';
import { addPolicyVerbs } from './policy/index.ts';
import { orForbidden } from './terminal/database.ts';
import type { JsonOption } from './terminal/options.ts';
import { table } from './terminal/output.ts';
import type { Terminal } from './terminal/terminal.ts';

export function addVerbs(program: Command, terminal: Terminal): void {
  addKeyVerbs(program, terminal);
  addUserVerbs(program, terminal);
  addBusinessVerbs(program, terminal);
  addMemberVerbs(program, terminal);
  addCallerVerbs(program, terminal);
  addPepperVerbs(program, terminal);
  addFreezeVerbs(program, terminal);
  addAuditVerbs(program, terminal);
  addPolicyVerbs(program, terminal);
  addImportVerb(program, terminal);

  program
    .command('migrate')
    .description('bring the database to the tables that this version needs')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  DATABASE_URL=postgres://... authz migrate')
    .action((options: JsonOption) => migrateVerb(terminal, options));

  program
    .command('config')
    .description('show every setting and where it comes from; secrets are masked')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  PORT=9090 authz config')
    .action((options: JsonOption) => configVerb(terminal, options));
}

async function migrateVerb(terminal: Terminal, { json }: JsonOption): Promise<void> {
  const { migrated, close } = await orForbidden(openWithoutPeppers(terminal.config()));
  await close();
  if (json) terminal.printJson({ migrated });
  else
    terminal.print(migrated.length > 0 ? `applied: ${migrated.join(', ')}` : 'nothing to do: the database is current');
}

function configVerb(terminal: Terminal, { json }: JsonOption): void {
  const settings = describeConfig(terminal.env);
  if (json) terminal.printJson(settings);
  else terminal.print(table(settings.map(({ name, value, source, help }) => ({ name, value, from: source, help }))));
}
