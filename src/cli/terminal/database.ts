/** Opens the database for one command, and closes it after. */

import { userInfo } from 'node:os';
import type { Knex } from 'knex';
import { openDatabase, type Peppers } from '../../database.ts';
import { connect } from '../../db/connect.ts';
import { orFailure } from '../../db/failure.ts';
import { migrationsCurrent } from '../../db/migrate.ts';
import type { Actor } from '../../db/mutate.ts';
import { type Cursors, createCursors } from '../../db/page.ts';
import { Refusal } from '../../errors.ts';
import type { Terminal } from './terminal.ts';

/** What a command works with. */
export interface CommandDatabase {
  readonly db: Knex;
  readonly peppers: Peppers;
  /** Who runs the command, for `admin_events`: `cli:` and the account. */
  readonly actor: Actor;
  readonly cursors: Cursors;
}

/** Runs `work` on the migrated database, attached to the embedded server or starting it for as long as this takes. */
export async function withDatabase<T>({ config }: Terminal, work: (opened: CommandDatabase) => Promise<T>): Promise<T> {
  const { db, peppers, close } = await openDatabase(config());
  try {
    return await work({ db, peppers, actor: actorHere(), cursors: createCursors(peppers[0].secret) });
  } finally {
    await close();
  }
}

const READ_MS = 10_000;

/**
 * As `withDatabase`, but with DATABASE_URL needs no pepper and migrates nothing: for an auditor, who has the right to read
 * only. @throws Refusal when the database is not at the migrations of this version
 */
export const withReadableDatabase = <T>(terminal: Terminal, work: (db: Knex) => Promise<T>): Promise<T> =>
  withOwnDatabase(terminal, ({ db }) => work(db));

/** As `withReadableDatabase`, for the owner of the log, who changes it. @throws Refusal */
export async function withOwnDatabase<T>(
  terminal: Terminal,
  work: (opened: Pick<CommandDatabase, 'db' | 'actor'>) => Promise<T>,
): Promise<T> {
  const { DATABASE_URL } = terminal.config();
  if (DATABASE_URL === undefined) return withDatabase(terminal, work);
  const db = connect({ url: DATABASE_URL, poolSize: 1 });
  try {
    if (!(await orFailure(migrationsCurrent(db, READ_MS)))) {
      throw new Refusal(
        'the database does not have the tables of this version; use the version that serves it, or authz migrate',
      );
    }
    return await work({ db, actor: actorHere() });
  } finally {
    await db.destroy();
  }
}

const actorHere = (): Actor => ({ id: `cli:${account()}` });

function account(): string {
  try {
    return userInfo().username;
  } catch {
    // The uid has no passwd entry, as in containers.
    return String(process.getuid?.() ?? 'unknown');
  }
}
