/** Adds all verbs but `serve`; `migrate` and `config` are defined here. */

import type { Command } from 'commander';
import { describeConfig, loadConfig } from '../config.ts';
import { openDatabase } from '../database.ts';
import { addAuditVerbs } from './audit/index.ts';
import { addCallerVerbs, addPepperVerbs } from './directory/callers.ts';
import { addImportVerb } from './directory/import.ts';
import { addBusinessVerbs, addMemberVerbs, addUserVerbs } from './directory/index.ts';
import { addKeyVerbs } from './directory/keys.ts';
import { addPolicyVerbs } from './policy/index.ts';
import type { Format } from './terminal/options.ts';
import { print, printJson, table } from './terminal/output.ts';

export function addVerbs(program: Command): void {
  addKeyVerbs(program);
  addUserVerbs(program);
  addBusinessVerbs(program);
  addMemberVerbs(program);
  addCallerVerbs(program);
  addPepperVerbs(program);
  addAuditVerbs(program);
  addPolicyVerbs(program);
  addImportVerb(program);

  program
    .command('migrate')
    .description('bring the database to the tables that this version needs')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  DATABASE_URL=postgres://... KEY_PEPPERS=p1:... authz migrate')
    .action(migrateVerb);

  program
    .command('config')
    .description('show every setting and where it comes from; secrets are masked')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  PORT=9090 authz config')
    .action(configVerb);
}

async function migrateVerb({ json }: Format): Promise<void> {
  const database = await openDatabase(loadConfig());
  await database.close();
  const { migrated } = database;
  if (json) printJson({ migrated });
  else print(migrated.length > 0 ? `applied: ${migrated.join(', ')}` : 'nothing to do: the database is current');
}

function configVerb({ json }: Format): void {
  const settings = describeConfig();
  if (json) printJson(settings);
  else print(table(settings.map(({ name, value, source, help }) => ({ name, value, from: source, help }))));
}
