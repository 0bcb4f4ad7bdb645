/**
 * Loads entries into the directory in one transaction: they are staged in temporary tables as they are read, held against
 * each other and against what the database has, and then merged. What an import does not name is left as it is. Memory
 * does not grow with it: whatever looks at more than one entry is a statement of the database.
 */

import path from 'node:path';
import type { Knex } from 'knex';
import type { Pepper } from '../credentials/token.ts';
import { type Actor, type Mutation, mutate } from '../db/mutate.ts';
import { Failure, type Issue, Refusal } from '../errors.ts';
import { type Entry, issuesOf, type List, parseEntry } from './document.ts';
import { createKeyMaker, type GeneratedKey, generatedKeys, type Made } from './import-keys.ts';
import { type Form, openSource, type Source } from './import-source.ts';
import {
  ANALYZE_STAGED,
  CREATE_STAGED,
  LOCK,
  MADE,
  MERGES,
  REPEATED,
  RESTRICT,
  type StagedFault,
  UNFIT,
} from './import-sql.ts';
import { copyEntries } from './import-stage.ts';

const COMMITTING = 'committing';

/** How many faults are named; more are counted. A document is limited in size, so all that it can have are named. */
const MAX_ISSUES: Readonly<Record<Form, number>> = { json: 1_000_000, jsonl: 10_000 };

const DEADLOCK = '40P01';
const LOCK_ATTEMPTS = 20;

export type Counts = Readonly<Record<List, { created: number; changed: number; left: number }>>;

export interface ImportReport {
  readonly counts: Counts;
  /** How many API keys were made here. */
  readonly generatedCount: number;
  /** Those, in clear, some at a time: shown this once. To be read before the database is closed. */
  readonly generated: AsyncIterable<readonly GeneratedKey[]>;
}

/** How far an import is; said often. */
export interface Progress {
  /** What is done at present, such as `reading`. */
  readonly step: string;
  readonly entries: number;
  readonly bytes: number;
  /** Undefined when it cannot be known before it is read. */
  readonly ofBytes: number | undefined;
}

export interface ImportOptions {
  readonly db: Knex;
  /** The first is the one that new keys are digested under. */
  readonly peppers: readonly [Pepper, ...Pepper[]];
  readonly actor: Actor;
  /** `-` is standard input. */
  readonly file: string;
  readonly form: Form;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
}

/**
 * Imports a file. It leaves one event and one change for all of it, and none when everything was so already.
 * @throws Refusal when the file cannot be read; Failure INVALID_REQUEST that names every bad entry; then nothing is
 *   loaded. Failure UNAVAILABLE or DEADLINE_EXCEEDED, whose message says whether anything is.
 */
export async function importFile(options: ImportOptions): Promise<ImportReport> {
  const { db, peppers, actor, file } = options;
  const source = await openSource(file, options.form);
  const keyOf = createKeyMaker();
  const progress = { step: '', entries: 0, bytes: 0, ofBytes: source.bytes };
  const advance = (changes: Partial<Progress>): void => {
    Object.assign(progress, changes);
    options.onProgress?.(progress);
  };
  const work = async (trx: Knex.Transaction): Promise<Mutation<Loaded>> => {
    const read = await stage(trx, source, peppers, keyOf, advance);
    advance({ step: 'waiting for other writers' });
    await lock(trx);
    advance({ step: 'checking references' });
    await check(trx, source, UNFIT, createFaults(source));
    const result = await merge(trx, read, advance);
    advance({ step: COMMITTING });
    const unchanged = Object.values(result.counts).every(({ created, changed }) => created + changed === 0);
    if (unchanged) return { result, events: [], changes: [] };
    return {
      result,
      events: [
        { action: 'directory.import', kind: 'directory', id: path.basename(file), after: result.counts } as const,
      ],
      changes: [{ kind: '*', id: '' } as const],
    };
  };
  // What comes out of mutate may be the failure to roll back, where this is what came first.
  let cause: unknown;
  const { counts, made } = await mutate(db, actor, (trx) => {
    cause = undefined;
    return work(trx).catch((error: unknown) => {
      cause = error;
      throw error;
    });
  }).catch((error: unknown) => {
    throw explain(error, cause, progress.step);
  });
  return { counts, generatedCount: made.count, generated: generatedKeys(db, peppers[0], keyOf, made) };
}

type Read = Record<List, number>;

interface Loaded {
  readonly counts: Counts;
  readonly made: Made;
}

/** Reads everything into the staging tables. @throws Failure INVALID_REQUEST: bad entries, and entries that stand there twice */
async function stage(
  trx: Knex.Transaction,
  source: Source,
  peppers: ImportOptions['peppers'],
  keyOf: (id: string) => string,
  advance: (changes: Partial<Progress>) => void,
): Promise<Read> {
  const read: Read = { users: 0, businesses: 0, members: 0, apiKeys: 0 };
  const faults = createFaults(source);
  async function* entries(): AsyncGenerator<Entry[]> {
    let count = 0;
    for await (const batch of source.items((bytes) => advance({ bytes }))) {
      const good: Entry[] = [];
      for (const item of batch) {
        if (!('list' in item)) faults.add(item);
        else {
          const { path: place } = source.place(item.list, item.n);
          for (const issue of issuesOf(() => good.push(parseEntry(item)))) faults.add(under(place, issue));
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
  advance({ step: 'checking for repetitions' });
  await trx.raw(ANALYZE_STAGED);
  await check(trx, source, REPEATED, faults);
  return read;
}

/**
 * Takes the lock. Where another waits in a circle with it, that is tried again: starting over would mean to read again what
 * may be a pipe. INVARIANT: under the lock nobody else holds a row of these tables, so no circle can come later.
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

/** @throws Failure INVALID_REQUEST when there are faults already, or one of the queries finds some */
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
  read: Read,
  advance: (changes: Partial<Progress>) => void,
): Promise<Loaded> {
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
  const { rows } = await trx.raw<{ rows: [Made] }>(MADE);
  return { counts, made: rows[0] };
}

const under = (place: string, { path: field, message }: Issue): Issue => ({
  path: field === '' ? place : `${place}${field.startsWith('[') ? '' : '.'}${field}`,
  message,
});

/** Names faults up to a number, and counts the others, so that a hopeless file costs no more than a good one. */
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
