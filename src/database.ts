/** The database that a process works on: opened, migrated, and held against the secrets that its keys were digested under. */

import { randomBytes } from 'node:crypto';
import path from 'node:path';
import type { Knex } from 'knex';
import { type Config, loadConfig } from './config.ts';
import { requirePeppers } from './credentials/peppers.ts';
import type { Pepper } from './credentials/token.ts';
import { connect } from './db/connect.ts';
import { openEmbedded } from './db/embedded/server.ts';
import { migrate } from './db/migrate.ts';
import { Failure, Refusal } from './errors.ts';
import { keepSecret } from './secret-file.ts';

export type Peppers = readonly [Pepper, ...Pepper[]];

/** A database at the state that the code knows, without limits on how long a statement may take. */
export interface Database {
  readonly url: string;
  readonly db: Knex;
  readonly peppers: Peppers;
  /** The names of the migrations that it lacked. */
  readonly migrated: readonly string[];
  readonly close: () => Promise<void>;
}

/**
 * Opens DATABASE_URL, or else the embedded PostgreSQL under DATA_DIR, and migrates it.
 * @throws Refusal when the settings or the database are such that going on would be wrong.
 */
export async function openDatabase(config: Config): Promise<Database> {
  const embedded = config.DATABASE_URL === undefined ? await openEmbedded({ dataDir: config.DATA_DIR }) : undefined;
  const url = config.DATABASE_URL ?? embedded?.url ?? '';
  const db = connect({ url, poolSize: 2 });
  const close = async (): Promise<void> => {
    await db.destroy();
    await embedded?.close();
  };
  try {
    const peppers = await peppersOf(config);
    const migrated = await migrate(db);
    await requirePeppers(db, peppers);
    return { url, db, peppers, migrated, close };
  } catch (error) {
    await close();
    if (error instanceof Refusal || error instanceof Failure) throw error;
    const { message } = error as Error;
    throw new Failure('UNAVAILABLE', `the database cannot be used (${message}); see to it, or to DATABASE_URL`, {
      cause: error,
    });
  }
}

async function peppersOf(config: Config): Promise<Peppers> {
  if (config.KEY_PEPPERS) return config.KEY_PEPPERS;
  if (config.DATABASE_URL !== undefined) {
    // A pepper made here would be this process's alone: the others would find none of its keys.
    throw new Refusal(
      'DATABASE_URL is set, so KEY_PEPPERS must be too: the secrets that keys are digested under, the same in every ' +
        'process. For a new database: KEY_PEPPERS="p1:$(openssl rand -base64 32)"; keep it, no key works without it.',
    );
  }
  // An id of its own: when the file is lost, keys under a pepper that is not held are found, and the start refused.
  const make = (): string => `embedded-${randomBytes(4).toString('hex')}:${randomBytes(32).toString('base64')}`;
  const pepper = await keepSecret(path.join(config.DATA_DIR, 'pepper'), make);
  const { KEY_PEPPERS } = loadConfig({ KEY_PEPPERS: pepper });
  if (!KEY_PEPPERS) throw new Refusal(`the pepper file in ${config.DATA_DIR} is empty; restore it from a backup`);
  return KEY_PEPPERS;
}
