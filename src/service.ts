/** The composition root: builds everything below http and cli from the settings, and takes it down again. */

import { randomBytes } from 'node:crypto';
import path from 'node:path';
import type { Knex } from 'knex';
import { recorder } from './audit/record.ts';
import { type Authorize, authorizer } from './authorize.ts';
import { type Config, loadConfig } from './config.ts';
import { createBreaker } from './db/breaker.ts';
import { connect, poolUse } from './db/connect.ts';
import { openEmbedded } from './db/embedded/server.ts';
import { migrate, migrationsCurrent } from './db/migrate.ts';
import { type Cursors, createCursors } from './db/page.ts';
import { callerFinder, type FindCaller } from './directory/find-caller.ts';
import { Failure, Refusal } from './errors.ts';
import { factsLoader } from './facts/load.ts';
import { requirePeppers } from './keys/peppers.ts';
import type { Pepper } from './keys/token.ts';
import { createUsage } from './keys/usage.ts';
import type { Log } from './log.ts';
import { createMetrics, type Metrics } from './metrics.ts';
import type { Policy } from './policy/policy.ts';
import { loadPolicy } from './rollout/load.ts';
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

export interface Readiness {
  readonly database: boolean;
  readonly migrations: boolean;
  /** Digest of the live policy. */
  readonly policy: string;
}

export interface Service {
  readonly config: Config;
  readonly log: Log;
  readonly policy: Policy;
  readonly authorize: Authorize;
  readonly findCaller: FindCaller;
  /** For reading and changing keys, directory and callers: apart from the decisions', which must not wait for it. */
  readonly adminDb: Knex;
  readonly cursors: Cursors;
  /** The current one: new keys are digested under it. */
  readonly pepper: Pepper;
  readonly readiness: () => Promise<Readiness>;
  readonly metrics: Metrics;
  /** Closes connections, and with the last user the embedded server. Idempotent. */
  readonly close: () => Promise<void>;
}

const ADMIN_POOL = 5;
/** Revoking or deleting hundreds of thousands of keys at once takes its time. */
const ADMIN_LIMIT_MS = 30_000;

/** @throws Refusal: a bad policy, settings or database; nothing is left running then. */
export async function createService(config: Config, log: Log, database: Database): Promise<Service> {
  const policy = await loadPolicy(config.POLICY_DIR);
  const loadedAt = Date.now();
  const limitMs = config.DECISION_DEADLINE_MS;
  const db = connect({ url: database.url, poolSize: config.DATABASE_POOL, limitMs });
  const breaker = createBreaker();
  const adminDb = connect({ url: database.url, poolSize: ADMIN_POOL, limitMs: ADMIN_LIMIT_MS });
  const usage = createUsage(adminDb, log);
  const { peppers } = database;
  return {
    config,
    log,
    policy,
    authorize: authorizer({
      loadFacts: factsLoader(db, peppers, breaker),
      livePolicy: () => policy,
      record: recorder(db),
      noteUse: usage.note,
    }),
    findCaller: callerFinder(db, peppers, breaker, config.BOOTSTRAP_TOKEN),
    readiness: shared(async () => {
      const migrations = await migrationsCurrent(db, limitMs).catch((error: unknown) => {
        log.warn({ error }, 'the database cannot be asked for its migrations');
        return undefined;
      });
      return { database: migrations !== undefined, migrations: migrations === true, policy: policy.digest };
    }),
    metrics: createMetrics({
      policy: () => ({ digest: policy.digest, rows: policy.rows.length, loadedAt, refused: false }),
      pools: () => ({ decisions: poolUse(db), admin: poolUse(adminDb) }),
      breakers: () => ({ facts: breaker.state() }),
    }),
    adminDb,
    cursors: createCursors(peppers[0].secret),
    pepper: peppers[0],
    close: async () => {
      await usage.close();
      await adminDb.destroy();
      await db.destroy();
    },
  };
}

/** One call at a time: who asks while it is under way shares its outcome. Nobody is asked for a token at /readyz. */
function shared<T>(ask: () => Promise<T>): () => Promise<T> {
  let underWay: Promise<T> | undefined;
  return () => {
    underWay ??= ask().finally(() => {
      underWay = undefined;
    });
    return underWay;
  };
}
