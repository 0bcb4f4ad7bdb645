/** Opens the database for one command, and closes it after. */

import type { Knex } from 'knex';
import { checkPeppers } from '../../credentials/peppers.ts';
import { openDatabase, type Peppers } from '../../database.ts';
import { connect } from '../../db/connect.ts';
import { databaseFailure, orFailure, sqlErrorOf } from '../../db/failure.ts';
import { migrationsCurrent } from '../../db/migrate.ts';
import type { Actor } from '../../db/mutate.ts';
import { type Cursors, createCursors } from '../../db/page.ts';
import { Refusal } from '../../errors.ts';
import type { Terminal } from './terminal.ts';

/** What a command works with that changes something. */
export interface CommandDatabase {
  readonly db: Knex;
  readonly peppers: Peppers;
  /** Who runs the command, for `admin_events`. */
  readonly actor: Actor;
  readonly cursors: Cursors;
}

/** What a command works with that takes the database as it is: those of auditors, and of who owns the log. */
export interface PresentDatabase extends Omit<CommandDatabase, 'peppers'> {
  /** For a credential in clear, which is looked up by its digest. @throws Refusal: there are none, or not those of the database */
  readonly peppers: () => Promise<Peppers>;
}

/**
 * Of cursors on a command line. No secret: who runs a command may ask the database whatever the cursor could be made to. It tells a
 * cursor from a typing error, and from that of another list.
 */
const CURSORS = createCursors(Buffer.from('authz command line'));

/** Runs `work` on the migrated database, attached to the embedded server or starting it for as long as this takes. */
export async function withDatabase<T>(terminal: Terminal, work: (opened: CommandDatabase) => Promise<T>): Promise<T> {
  const { db, peppers, close } = await orForbidden(openDatabase(terminal.config()));
  try {
    return await orForbidden(work({ db, peppers, actor: terminal.operator(), cursors: CURSORS }));
  } finally {
    await close();
  }
}

const READ_MS = 10_000;

/**
 * As `withDatabase`, but with DATABASE_URL needs no pepper and migrates nothing: for an auditor, who has the right to read only, and for
 * the owner of the log. @throws Refusal when the database is not at the migrations of this version
 */
export async function withPresentDatabase<T>(
  terminal: Terminal,
  work: (opened: PresentDatabase) => Promise<T>,
): Promise<T> {
  const { DATABASE_URL, DATABASE_DIRECT_URL, KEY_PEPPERS } = terminal.config();
  if (DATABASE_URL === undefined)
    return withDatabase(terminal, ({ peppers, ...opened }) => work({ ...opened, peppers: async () => peppers }));
  const db = connect({ url: DATABASE_DIRECT_URL ?? DATABASE_URL, poolSize: 2 });
  const peppers = async (): Promise<Peppers> => {
    if (KEY_PEPPERS === undefined) throw new Refusal(NO_PEPPER);
    await checkPeppers(db, KEY_PEPPERS).catch((error: unknown) => {
      throw error instanceof Refusal ? error : databaseFailure(error);
    });
    return KEY_PEPPERS;
  };
  const run = async (): Promise<T> => {
    if (!(await orFailure(migrationsCurrent(db, READ_MS)))) {
      throw new Refusal(
        'the database does not have the tables of this version, or was migrated past it; use the version that serves it, or authz migrate',
      );
    }
    return work({ db, actor: terminal.operator(), cursors: CURSORS, peppers });
  };
  try {
    return await orForbidden(run());
  } finally {
    await db.destroy();
  }
}

const NO_PEPPER =
  'a credential in clear is looked up by its digest, and that takes the peppers that keys are stored under: set KEY_PEPPERS as the ' +
  "service has it; or let an operator find the key's id (authz key show --key-stdin), and name that. Nothing else here needs a pepper.";

/** SQLSTATE insufficient_privilege. */
const FORBIDDEN = '42501';

const ASK_OWNER =
  'docs/audit.md, "Who may do what", lists the verbs of each role; where this one should be among them, the owner of the tables runs ' +
  'deploy/roles.sql again';

/** @throws Refusal where the login lacks a right: no retry would help, as the message of a Failure says that it may */
export async function orForbidden<T>(work: Promise<T>, advice = ASK_OWNER): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const forbidden = sqlErrorOf(error, FORBIDDEN);
    if (!forbidden || error instanceof Refusal) throw error;
    throw new Refusal(`the login of DATABASE_URL may not do this (${forbidden.message}). ${advice}`, error);
  }
}
