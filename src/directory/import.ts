/**
 * Loads a file of entries into the directory in one transaction: stages them in temporary tables as they are read, checks
 * them against each other and the database, and merges them (upsert; rows that the file does not name stay as they are).
 * Memory is constant: every check of more than one entry is SQL.
 */

import { rm } from 'node:fs/promises';
import path from 'node:path';
import type { Readable } from 'node:stream';
import type { Knex } from 'knex';
import type { Pepper } from '../credentials/token.ts';
import { type Actor, type Mutation, mutate } from '../db/mutate.ts';
import { Failure, type Issue, Refusal } from '../errors.ts';
import { type Declaration, NOTHING_DECLARED } from '../policy/declared/declaration.ts';
import { type Entry, issuesOf, type List, needsDeclaration, parseEntry } from './document.ts';
import { KEEP_STATE, readChanged } from './import-changed.ts';
import { createKeyGenerator, type Generated, type GeneratedKey, generatedKeys } from './import-keys.ts';
import { type Form, openSource, type Source } from './import-source.ts';
import {
  ANALYZE_STAGED,
  CONFLICTS,
  CREATE_STAGED,
  DUPLICATES,
  GENERATED,
  LOCK,
  MERGES,
  RESTRICT,
  type StagedFault,
} from './import-sql.ts';
import { copyEntries } from './import-stage.ts';

const COMMITTING = 'committing';

/** How many faults are reported by name; the rest are counted. A document is limited in size, so all of its faults fit. */
const MAX_ISSUES: Readonly<Record<Form, number>> = { json: 1_000_000, jsonl: 10_000 };

const DEADLOCK = '40P01';
const LOCK_ATTEMPTS = 20;

export type Counts = Readonly<Record<List, { created: number; changed: number; left: number }>>;

export interface ImportReport {
  readonly counts: Counts;
  /** How many API keys were generated. */
  readonly generatedCount: number;
  /** The generated keys in clear, in batches, shown this once. Must be read before the database is closed. */
  readonly generated: AsyncIterable<readonly GeneratedKey[]>;
}

/** How far an import is; reported for every chunk and batch. */
export interface Progress {
  /** The current step, such as `reading`. */
  readonly step: string;
  readonly entries: number;
  readonly bytes: number;
  /** The size of the input; undefined for a stream. */
  readonly ofBytes: number | undefined;
}

export interface ImportOptions {
  readonly db: Knex;
  /** The first is the current one, for new keys. */
  readonly peppers: readonly [Pepper, ...Pepper[]];
  readonly actor: Actor;
  readonly file: string;
  /** A file that all changes are written to, a line of JSON each, sorted: it proves the digest of those without an event. */
  readonly changes?: string | undefined;
  /** Read in place of the file: standard input. */
  readonly input?: Readable | undefined;
  readonly form: Form;
  /** MAX_KEY_LIFETIME, in milliseconds; undefined: none. */
  readonly maxLifetimeMs?: number | undefined;
  /** What the attributes and roles are held against; asked once, when the first entry has some. */
  readonly declaration: () => Promise<Declaration>;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
}

/**
 * Imports a file: an event for all of it, one for each of the first 10,000 entries that it changed, and one change `*`; none when
 * nothing had to be changed.
 * @throws Refusal when the file cannot be read, Failure INVALID_REQUEST with the issues of every bad entry: nothing is loaded
 *   then. Failure UNAVAILABLE, DEADLINE_EXCEEDED or INTERNAL, whose message says whether anything is loaded.
 */
export async function importFile(options: ImportOptions): Promise<ImportReport> {
  const { db, peppers, actor, file } = options;
  const source = await openSource(file, options.form, options.input);
  const keyOf = createKeyGenerator();
  const progress = { step: '', entries: 0, bytes: 0, ofBytes: source.bytes };
  const advance = (changes: Partial<Progress>): void => {
    Object.assign(progress, changes);
    options.onProgress?.(progress);
  };
  const work = async (trx: Knex.Transaction): Promise<Mutation<Merged>> => {
    const read = await stage(trx, source, options, keyOf, advance);
    advance({ step: 'waiting for other writers' });
    await lock(trx);
    advance({ step: 'checking references' });
    await check(trx, source, CONFLICTS, createFaults(source));
    for (const statement of KEEP_STATE) await trx.raw(statement);
    const result = await merge(trx, read, advance);
    const unchanged = Object.values(result.counts).every(({ created, changed }) => created + changed === 0);
    if (unchanged) return { result, events: [], changes: [] };
    advance({ step: 'recording what changed' });
    const { events, rest } = await readChanged(trx, options.changes);
    advance({ step: COMMITTING });
    const after = { ...result.counts, events: events.length, ...(rest && { rest }) };
    return {
      result,
      events: [{ action: 'directory.import', kind: 'directory', id: path.basename(file), after }, ...events],
      changes: [{ kind: '*', id: '' } as const],
    };
  };
  // When the rollback fails, too, mutate throws that error; the first one is what the user must see.
  let cause: unknown;
  const { counts, made } = await mutate(db, actor, (trx) => {
    cause = undefined;
    return work(trx).catch((error: unknown) => {
      cause = error;
      throw error;
    });
  }).catch(async (error: unknown) => {
    // What says of a change that was not made that it was. At the end it may have been made.
    if (options.changes !== undefined && progress.step !== COMMITTING) await rm(options.changes, { force: true });
    throw explain(error, cause, progress.step);
  });
  return { counts, generatedCount: made.count, generated: generatedKeys(db, peppers[0], keyOf, made) };
}

type EntryCounts = Record<List, number>;

interface Merged {
  readonly counts: Counts;
  readonly made: Generated;
}

/** Reads the source into the staging tables. @throws Failure INVALID_REQUEST: invalid and duplicate entries */
async function stage(
  trx: Knex.Transaction,
  source: Source,
  { peppers, maxLifetimeMs, declaration }: ImportOptions,
  keyOf: (id: string) => string,
  advance: (changes: Partial<Progress>) => void,
): Promise<EntryCounts> {
  const read: EntryCounts = { users: 0, businesses: 0, members: 0, apiKeys: 0 };
  const faults = createFaults(source);
  let declared: Declaration | undefined;
  async function* entries(): AsyncGenerator<Entry[]> {
    let count = 0;
    for await (const batch of source.items((bytes) => advance({ bytes }))) {
      const good: Entry[] = [];
      for (const item of batch) {
        if (!('list' in item)) faults.add(item);
        else {
          const { path: place } = source.place(item.list, item.n);
          if (needsDeclaration(item)) declared ??= await declaration();
          const rules = { maxLifetimeMs, declaration: declared ?? NOTHING_DECLARED };
          for (const issue of issuesOf(() => good.push(parseEntry(item, rules)))) faults.add(under(place, issue));
          read[item.list] += 1;
        }
      }
      count += batch.length;
      advance({ entries: count });
      yield good;
    }
  }
  advance({ step: 'reading', entries: 0, bytes: 0 });
  for (const statement of CREATE_STAGED) await trx.raw(statement);
  await copyEntries(trx, entries(), peppers, keyOf);
  advance({ step: 'checking for duplicates' });
  await trx.raw(ANALYZE_STAGED);
  await check(trx, source, DUPLICATES, faults);
  return read;
}

/**
 * Locks the tables against writers. A deadlock is retried from a savepoint: to retry the whole transaction, the input would
 * have to be read again, and may be a pipe. INVARIANT: under the lock no other transaction holds a row lock in these tables,
 * so no deadlock can happen later.
 */
async function lock(trx: Knex.Transaction): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await trx.transaction((savepoint) => savepoint.raw(LOCK));
      return;
    } catch (error) {
      if (attempt === LOCK_ATTEMPTS || (error as { code?: string }).code !== DEADLOCK) throw error;
    }
  }
}

/** Adds what the queries find to the faults. @throws Failure INVALID_REQUEST when there are any */
async function check(
  trx: Knex.Transaction,
  source: Source,
  queries: readonly string[],
  faults: ReturnType<typeof createFaults>,
): Promise<void> {
  for (const query of queries) {
    const { rows } = await trx.raw<{ rows: StagedFault[] }>(query, [MAX_ISSUES[source.form]]);
    for (const { list, n, field, message, other } of rows) {
      const same = other === null ? '' : ` ${source.place(list, other).short}`;
      faults.add(under(source.place(list, n).path, { path: field ?? '', message: message + same }));
    }
    faults.addUnnamed((rows[0]?.total ?? 0) - rows.length);
  }
  faults.refuse(source.name);
}

async function merge(
  trx: Knex.Transaction,
  read: EntryCounts,
  advance: (changes: Partial<Progress>) => void,
): Promise<Merged> {
  const touched = async (statement: string): Promise<number> =>
    (await trx.raw<{ rowCount: number }>(statement)).rowCount;
  const counts = {} as Record<List, Counts[List]>;
  for (const { list, change, create } of MERGES) {
    advance({ step: `loading ${list}` });
    const changed = await touched(change);
    const created = await touched(create);
    counts[list] = { created, changed, left: read[list] - created - changed };
  }
  advance({ step: 'loading restrictions' });
  await trx.raw(RESTRICT);
  const { rows } = await trx.raw<{ rows: [Generated] }>(GENERATED);
  return { counts, made: rows[0] };
}

/** The issue of a field as an issue of the input. */
const under = (place: string, { path: field, message }: Issue): Issue => ({
  path: field === '' ? place : `${place}${field.startsWith('[') ? '' : '.'}${field}`,
  message,
});

/** Collects faults up to MAX_ISSUES and counts the rest, so that a thoroughly bad file takes no more memory than a good one. */
function createFaults({ form }: Source) {
  const issues: Issue[] = [];
  let total = 0;
  return {
    add: (issue: Issue): void => {
      total += 1;
      if (issues.length < MAX_ISSUES[form]) issues.push(issue);
    },
    addUnnamed: (count: number): void => {
      total += count;
    },
    refuse: (name: string): void => {
      if (total === 0) return;
      const more = total - issues.length;
      const rest =
        more > 0 ? [{ path: '', message: `and ${more} more, which are named once these are corrected` }] : [];
      const message = `${name} has ${total} ${total === 1 ? 'fault' : 'faults'}, so nothing is loaded. Correct it, and import it again.`;
      throw new Failure('INVALID_REQUEST', message, { issues: [...issues, ...rest] });
    },
  };
}

/** The error for the user, who must know whether anything was loaded. `thrown` is mutate's; `cause` that of `work`, if any. */
function explain(thrown: unknown, cause: unknown, step: string): unknown {
  if (cause instanceof Refusal || (cause instanceof Failure && cause.code === 'INVALID_REQUEST')) return cause;
  if (!(thrown instanceof Failure)) return thrown;
  const first = cause ?? thrown.cause;
  const reason = first instanceof Error ? ` (${first.message})` : '';
  const failed = `The ${thrown.code === 'INTERNAL' ? 'import' : 'database'} failed${reason}`;
  const message =
    step === COMMITTING
      ? `${failed} at the end, and either everything is loaded or nothing. Import it again: what is there is ` +
        'left. If it then creates nothing, rotate the API keys that were to be generated: they cannot be shown any more.'
      : `${failed} while ${step}, so nothing is loaded. Import it again.`;
  return new Failure(thrown.code, message, { cause: first });
}
