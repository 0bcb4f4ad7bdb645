/**
 * Adds all verbs but `serve`; `migrate` and `config` are defined here. What a run does not use is not loaded: parsing and the
 * database's client take most of the time that a short command has.
 */

import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { Command } from 'commander';
import { describeConfig } from '../config.ts';
import { ROOT } from '../release.ts';
import type { JsonOption } from './terminal/options.ts';
import { table } from './terminal/output.ts';
import type { Terminal } from './terminal/terminal.ts';

/** One file, for psql and for here. */
const ROLES = path.join(ROOT, 'deploy', 'roles.sql');

type Define = (command: Command, terminal: Terminal) => void;

interface Group {
  readonly name: string;
  readonly description: string;
  /** What defines the verbs of the group, or the options and the action of a verb that stands alone. */
  readonly load: () => Promise<Define>;
}

const GROUPS: readonly Group[] = [
  {
    name: 'key',
    description: 'API keys: make, show, change, rotate, revoke, delete',
    load: async () => (await import('./directory/keys.ts')).addKeyVerbs,
  },
  {
    name: 'user',
    description: 'users: make, change, list, delete, revoke their keys',
    load: async () => (await import('./directory/users.ts')).addUserVerbs,
  },
  {
    name: 'business',
    description: 'businesses: make, change, list, delete',
    load: async () => (await import('./directory/businesses.ts')).addBusinessVerbs,
  },
  {
    name: 'member',
    description: 'who has access to a business',
    load: async () => (await import('./directory/businesses.ts')).addMemberVerbs,
  },
  {
    name: 'caller',
    description: 'the services that may ask, and their tokens',
    load: async () => (await import('./directory/callers.ts')).addCallerVerbs,
  },
  {
    name: 'pepper',
    description: 'the secrets that keys and tokens are digested under',
    load: async () => (await import('./directory/callers.ts')).addPepperVerbs,
  },
  {
    name: 'freeze',
    description: 'deny at once, for a while: an action, a key, a user, a business, or all of these together',
    load: async () => (await import('./directory/freezes.ts')).addFreezeVerbs,
  },
  {
    name: 'audit',
    description: 'what was decided and done, by whom',
    load: async () => (await import('./audit/index.ts')).addAuditVerbs,
  },
  {
    name: 'policy',
    description: 'what a policy says, what an edit changes, and what runs where',
    load: async () => (await import('./policy/index.ts')).addPolicyVerbs,
  },
  {
    name: 'gateway',
    description: 'what gateways ask about',
    load: async () => (await import('./policy/gateway.ts')).addGatewayVerbs,
  },
  {
    name: 'import',
    description: 'load users, businesses, members and API keys, all of them or nothing',
    load: async () => (await import('./directory/import.ts')).addImportVerb,
  },
  {
    name: 'restore',
    description: 'after a backup was restored: what is lost, and what must end again',
    load: async () => (await import('./restore.ts')).addRestoreVerbs,
  },
  {
    name: 'health',
    description: 'ask the running service whether it is up, or ready: for probes',
    load: async () => (await import('./health.ts')).addHealthVerb,
  },
];

/** Adds every verb to `program`, and to the groups that `argv` names what is in them: no other can be run or explained. */
export async function addVerbs(program: Command, terminal: Terminal, argv: readonly string[]): Promise<void> {
  for (const { name, description, load } of GROUPS) {
    const command = program.command(name).description(description);
    // Wherever it stands: it may be the value of an option, which costs the loading only.
    if (argv.includes(name)) (await load())(command, terminal);
  }

  program
    .command('migrate')
    .description('bring the database to the tables that this version needs')
    .option(
      '--roles',
      'then give the roles of the service and of auditors their rights, as deploy/roles.sql says; for the owner',
    )
    .option('--contract', 'also what breaks older versions: once all replicas have been replaced')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  DATABASE_URL=postgres://... authz migrate --roles')
    .action((options: MigrateOptions) => migrateVerb(terminal, options));

  program
    .command('config')
    .description('show every setting and where it comes from; secrets are masked')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  PORT=9090 authz config')
    .action((options: JsonOption) => configVerb(terminal, options));
}

const AS_OWNER =
  'authz migrate is for the login of who owns the tables, and with --roles may create roles: set DATABASE_URL to that';

interface MigrateOptions extends JsonOption {
  readonly roles?: boolean;
  readonly contract?: boolean;
}

async function migrateVerb(terminal: Terminal, { json, roles, contract = false }: MigrateOptions): Promise<void> {
  const { openWithoutPeppers } = await import('../database.ts');
  const { orForbidden } = await import('./terminal/database.ts');
  const { waitingMigrations } = await import('../db/migrate.ts');
  const { db, migrated, close } = await orForbidden(openWithoutPeppers(terminal.config(), contract), AS_OWNER);
  let waiting: readonly string[];
  try {
    // After the migrations: a table that they made has no rights yet.
    if (roles) await orForbidden(db.raw(await readFile(ROLES, 'utf8')), AS_OWNER);
    waiting = await waitingMigrations(db);
  } finally {
    await close();
  }
  if (json) return terminal.printJson({ migrated, waiting });
  terminal.print(
    migrated.length > 0
      ? `applied: ${migrated.join(', ')}`
      : `no migration to apply${waiting.length > 0 ? ' now' : ': the database is current'}`,
  );
  if (roles) terminal.print('the roles have their rights, as deploy/roles.sql says');
  if (waiting.length > 0)
    terminal.print(
      `waiting: ${waiting.join(', ')}, for authz migrate --contract once no replica is of an older version`,
    );
}

const IN_FILES = 'Of a secret X, in place of X, X_FILE may name a file that holds it.';

function configVerb(terminal: Terminal, { json }: JsonOption): void {
  const settings = describeConfig(terminal.env);
  if (json) terminal.printJson(settings);
  else {
    const rows = settings.map(({ name, value, source, file, help }) => ({ name, value, from: file ?? source, help }));
    terminal.print(`${table(rows)}\n\n${IN_FILES}`);
  }
}
