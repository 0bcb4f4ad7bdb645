/** All verbs but `serve`; here those that work on the settings and the database as a whole. */

import type { Command } from 'commander';
import { describeConfig, loadConfig } from '../config.ts';
import { importFile } from '../directory/import.ts';
import { openDatabase } from '../service.ts';
import { addAuditVerbs } from './audit.ts';
import { addCallerVerbs, addPepperVerbs } from './callers.ts';
import { addBusinessVerbs, addMemberVerbs, addUserVerbs } from './directory.ts';
import { addKeyVerbs } from './keys.ts';
import { print, printJson, table } from './output.ts';

export function addVerbs(program: Command): void {
  addKeyVerbs(program);
  addUserVerbs(program);
  addBusinessVerbs(program);
  addMemberVerbs(program);
  addCallerVerbs(program);
  addPepperVerbs(program);
  addAuditVerbs(program);

  program
    .command('migrate')
    .description('bring the database to the tables that this version needs')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  DATABASE_URL=postgres://... KEY_PEPPERS=p1:... authz migrate')
    .action(migrateVerb);

  program
    .command('import')
    .description('load users, businesses, members and API keys from one JSON document, all of it or nothing')
    .argument('<file>', 'the document, at most 64 MiB; - reads standard input')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  authz import examples/demo.json\n\ndocs/import.md describes the document.')
    .action(importVerb);

  program
    .command('config')
    .description('show every setting and where it comes from; secrets are masked')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  PORT=9090 authz config')
    .action(configVerb);
}

interface Format {
  readonly json?: true;
}

async function migrateVerb({ json }: Format): Promise<void> {
  const database = await openDatabase(loadConfig());
  await database.close();
  const { migrated } = database;
  if (json) printJson({ migrated });
  else print(migrated.length > 0 ? `applied: ${migrated.join(', ')}` : 'nothing to do: the database is current');
}

async function importVerb(file: string, { json }: Format): Promise<void> {
  const database = await openDatabase(loadConfig());
  try {
    const report = await importFile(database.db, database.peppers, file);
    if (json) printJson(report);
    else print(describeImport(report));
  } finally {
    await database.close();
  }
}

function describeImport({ counts, generated }: Awaited<ReturnType<typeof importFile>>): string {
  const rows = Object.entries(counts).map(([kind, count]) => ({
    kind,
    created: String(count.created),
    changed: String(count.changed),
    left: String(count.left),
  }));
  const keys = generated.map(({ id, apiKey }) => ({ key: id, 'API key': apiKey }));
  const note = keys.length > 0 ? `\n\nNew API keys, shown this once:\n${table(keys)}` : '';
  return table(rows) + note;
}

function configVerb({ json }: Format): void {
  const settings = describeConfig();
  if (json) printJson(settings);
  else print(table(settings.map(({ name, value, source, help }) => ({ name, value, from: source, help }))));
}
