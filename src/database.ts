/** Opens the database of a process: connects or starts the embedded server, migrates, and checks the peppers against it. */

import { randomBytes } from 'node:crypto';
import path from 'node:path';
import type { Knex } from 'knex';
import { type Config, loadConfig } from './config.ts';
import { requirePeppers } from './credentials/peppers.ts';
import type { Pepper } from './credentials/token.ts';
import { adviceOn } from './db/advice.ts';
import { connect } from './db/connect.ts';
import { openEmbedded } from './db/embedded/server.ts';
import { migrate } from './db/migrate.ts';
import { Failure, Refusal } from './errors.ts';
import { keepSecret } from './secret-file.ts';

export type Peppers = readonly [Pepper, ...Pepper[]];

/** A migrated database; its statements have no time limit. */
export interface Database {
  readonly url: string;
  /** Past a pooler, where one is set: for the log, the change feed and migrations. Otherwise as `url`. */
  readonly directUrl: string;
  readonly db: Knex;
  readonly peppers: Peppers;
  /** The names of the migrations that were applied now. */
  readonly migrated: readonly string[];
  readonly close: () => Promise<void>;
}

/**
 * Opens DATABASE_URL, or else the embedded PostgreSQL under DATA_DIR, and migrates it.
 * @throws Refusal for settings, migrations or peppers that do not fit the database; Failure UNAVAILABLE when it fails
 */
export const openDatabase = (config: Config): Promise<Database> => open(config, peppersOf);

/** As `openDatabase`, for the migrations alone: needs no pepper, and checks none. `contract`: also those that break older versions. */
export const openWithoutPeppers = (config: Config, contract: boolean): Promise<Omit<Database, 'peppers'>> =>
  open(config, async () => undefined, contract);

async function open<P extends Peppers | undefined>(
  config: Config,
  read: (config: Config) => Promise<P>,
  contract = false,
): Promise<Omit<Database, 'peppers'> & { readonly peppers: P }> {
  if (config.DATABASE_DIRECT_URL !== undefined && config.DATABASE_URL === undefined)
    throw new Refusal(
      'DATABASE_DIRECT_URL is set, so DATABASE_URL must be too: the pooler in front of the same database',
    );
  const embedded = config.DATABASE_URL === undefined ? await openEmbedded({ dataDir: config.DATA_DIR }) : undefined;
  const url = config.DATABASE_URL ?? embedded?.url ?? '';
  const directUrl = config.DATABASE_DIRECT_URL ?? url;
  const db = connect({ url: directUrl, poolSize: 2 });
  const close = async (): Promise<void> => {
    await db.destroy();
    await embedded?.close();
  };
  try {
    const peppers = await read(config);
    if (directUrl !== url) await requireSame(db, url);
    const migrated = await migrate(db, { contract });
    if (peppers) await requirePeppers(db, peppers);
    return { url, directUrl, db, peppers, migrated, close };
  } catch (error) {
    await close();
    if (error instanceof Refusal || error instanceof Failure) throw error;
    const { message } = error as Error;
    const advice = adviceOn(error) ?? 'check the server and DATABASE_URL';
    throw new Failure('UNAVAILABLE', `the database cannot be used (${message}); ${advice}`, { cause: error });
  }
}

const IDENTITY = `
  select oid::text || ' ' || extract(epoch from pg_postmaster_start_time())::text as identity
  from pg_database where datname = current_database()`;

/** @throws Refusal where the record of a decision would not be in the database that its facts come from */
async function requireSame(direct: Knex, url: string): Promise<void> {
  const pooled = connect({ url, poolSize: 1 });
  try {
    const [one, other] = await Promise.all(
      [direct, pooled].map((db) => db.raw<{ rows: [{ identity: string }] }>(IDENTITY)),
    );
    if (one?.rows[0].identity !== other?.rows[0].identity)
      throw new Refusal('DATABASE_DIRECT_URL and DATABASE_URL name two databases; both must lead to the same one');
  } finally {
    await pooled.destroy();
  }
}

async function peppersOf(config: Config): Promise<Peppers> {
  if (config.KEY_PEPPERS) return config.KEY_PEPPERS;
  if (config.DATABASE_URL !== undefined) {
    // A generated pepper would be known to this process only, and no other could find its keys.
    throw new Refusal(
      'DATABASE_URL is set, so KEY_PEPPERS must be too: the secrets that keys are digested under, the same in every ' +
        'process. For a new database: KEY_PEPPERS="p1:$(openssl rand -base64 32)"; keep it, no key works without it.',
    );
  }
  // A random id: if the file is lost, the next pepper differs in id, and requirePeppers refuses to start.
  const make = (): string => `embedded-${randomBytes(4).toString('hex')}:${randomBytes(32).toString('base64')}`;
  const pepper = await keepSecret(path.join(config.DATA_DIR, 'pepper'), make);
  const { KEY_PEPPERS } = loadConfig({ KEY_PEPPERS: pepper });
  if (!KEY_PEPPERS) throw new Refusal(`the pepper file in ${config.DATA_DIR} is empty; restore it from a backup`);
  return KEY_PEPPERS;
}
