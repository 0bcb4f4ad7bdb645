/**
 * Loads the facts of a decision: from the cache while it is confirmed fresh, else from the primary in one statement for all that
 * is missing in a turn of the event loop, each behind the breaker and under its own request's deadline. An unexpected answer is a
 * failure of the question that it answers, never a default.
 */

import { timingSafeEqual } from 'node:crypto';
import type { Knex } from 'knex';
import type { Awaitable } from '../awaitable.ts';
import { digestOf, digestTextOf, isToken, type Pepper, type Redigest } from '../credentials/token.ts';
import type { Breaker } from '../db/breaker.ts';
import { databaseFailure } from '../db/failure.ts';
import { isLostStatement, statementName } from '../db/session.ts';
import type { Deadline } from '../deadline.ts';
import { Failure } from '../errors.ts';
import type { RateLimit } from '../input/scalars.ts';
import { closed, type Facts } from '../policy/facts.ts';
import { BUILT_IN } from '../policy/schema.ts';
import type { Cache, Found, Read } from './cache.ts';
import { digestTag, tagOf } from './freshness.ts';
import { type Answers, gathering } from './gather.ts';
import {
  type Attributes,
  attributeBytes,
  LOAD_FACTS,
  type StoredRow,
  storedAttributes,
  storedGroup,
  WITHOUT_ATTRIBUTES,
} from './stored-facts.ts';

export interface Question {
  /** The API key in clear; undefined when the client sent none, or no Authorization header that names one. */
  readonly apiKey: string | undefined;
  readonly action: string;
  readonly businessId: string | undefined;
}

/**
 * What is stored of a key, its user and a business, whatever a policy declares: policy/facts-under.ts makes facts of it. Immutable, and the
 * same object until it is invalidated, by which verdicts and the texts of records are kept.
 */
export interface Known extends Pick<Facts, 'key' | 'user' | 'target'> {
  readonly stored: Attributes;
  /** The public reasons for which the user and the target are disabled, for the codes that show one. */
  readonly reasons: { readonly user: string | undefined; readonly target: string | undefined };
  /** The rate limit that holds (`LIMIT_OWNERS` in stored-facts.ts); undefined: the default. */
  readonly limit: RateLimit | undefined;
  /** For a key that is stored under an older pepper than the current one. */
  readonly redigest: Redigest | undefined;
}

// What is the same for everybody is one object.
const { key: UNKNOWN_KEY, user: UNKNOWN_USER, target: NO_TARGET } = BUILT_IN.nothingKnown;

export interface LoadFacts {
  /**
   * At once where all of it is cached.
   * @throws Failure UNAVAILABLE or DEADLINE_EXCEEDED, through the breaker
   */
  (questions: readonly Question[], deadline: Deadline): Awaitable<readonly Known[]>;
  /**
   * Caches what is stored of these, each by its digest under the current pepper, as a question about it would.
   * @throws as above
   */
  readonly warm: (asked: readonly AskedByDigest[], deadline: Deadline) => Promise<void>;
}

/** Runs a statement that reads facts, for those who wait for its rows. */
export type AroundStatement = <T>(
  waiting: readonly { readonly deadline: Deadline }[],
  run: () => Promise<T>,
) => Promise<T>;

/** A question whose key has the form and checksum of one. */
type Asked = Question & { readonly apiKey: string };

/** Makes a loader that reads `db`, which must be the primary, through `cache`. */
export function factsLoader(
  db: Knex,
  peppers: readonly [Pepper, ...Pepper[]],
  breaker: Breaker,
  cache: Cache<Known>,
  around: AroundStatement = (_waiting, run) => run(),
): LoadFacts {
  const [current] = peppers;
  const read = factsReader(db, breaker, around);
  const named = (question: Question): Named | undefined => {
    if (!isAsked(question)) return undefined;
    const { apiKey, businessId } = question;
    const digest = digestTextOf(current, apiKey);
    return { apiKey, businessId, digest, name: entryName(digest, businessId) };
  };
  const byDigest = ({ apiKey, businessId, digest }: Named): AskedByDigest => ({
    businessId,
    digests: peppers.map((pepper) => ({
      pepper,
      digest: pepper === current ? Buffer.from(digest, 'latin1') : digestOf(pepper, apiKey),
    })),
  });
  const cached = (names: readonly string[], asked: (place: number) => AskedByDigest[], deadline: Deadline) =>
    deadline.race(cache.load(names, (places) => read(places.flatMap(asked), deadline)));

  const load = (questions: readonly Question[], deadline: Deadline): Awaitable<readonly Known[]> => {
    const places = questions.map(named);
    const asked = places.filter((place) => place !== undefined);
    const names = asked.map(({ name }) => name);
    const inPlaces = (known: readonly Known[]): Known[] => knownInPlaces(questions, places, known);
    const recalled = cache.recall(names);
    if (recalled) return inPlaces(recalled);
    const missing = (): Promise<Known[]> =>
      cached(names, (place) => [asked[place]].flatMap((one) => (one ? [byDigest(one)] : [])), deadline);
    return missing()
      .catch((error: unknown) => {
        // Another request's read that this one joined may have hit that request's deadline; if ours has not passed, read again.
        if (!(error instanceof Failure) || error.code !== 'DEADLINE_EXCEEDED') throw error;
        deadline.check();
        return missing();
      })
      .then(inPlaces);
  };

  const warm: LoadFacts['warm'] = async (asked, deadline) => {
    const names = asked.map(({ digests: [first], businessId }) =>
      entryName(first?.digest.toString('latin1') ?? '', businessId),
    );
    await cached(names, (place) => [asked[place]].flatMap((one) => one ?? []), deadline);
  };
  return Object.assign(load, { warm });
}

/** A question about what may be a key, by the digest under the current pepper, and under which name it is cached. */
interface Named extends Pick<Asked, 'apiKey' | 'businessId'> {
  readonly digest: string;
  readonly name: string;
}

/** The name of a cached entry. Joined, not added up: V8 would keep the parts beside the whole for as long as the entry. */
const entryName = (digestText: string, businessId = ''): string => [digestText, businessId].join('');

/** What is known of the questions: of those with a name the next of `known`, of the others that there is no such key. */
function knownInPlaces(
  questions: readonly Question[],
  places: readonly (Named | undefined)[],
  known: readonly Known[],
): Known[] {
  let next = 0;
  return questions.map(({ businessId }, place) => {
    if (!places[place]) return noKey(businessId);
    const found = known[next++];
    if (!found) throw new Error('fewer facts were loaded than asked for');
    return found;
  });
}

/** Reads the facts of no question. @throws Failure or what the database throws, where those of a question could not be read */
export async function tryToLoad(db: Knex): Promise<void> {
  const { rows } = await db.raw<{ rows: StoredRow[] }>(LOAD_FACTS, [[], [], []]);
  rowsOf(rows, 0);
}

/** Reads what is stored of the questions, each call through the breaker, all calls of a turn by one statement. */
function factsReader(db: Knex, breaker: Breaker, around: AroundStatement) {
  const send = preparedStatement(db);
  const gathered = gathering<AskedByDigest, Read<Known>>((calls, isWanted, waiting) =>
    readAll(calls, (bindings) => around(waiting, () => send(bindings, isWanted))),
  );
  return (asked: readonly AskedByDigest[], deadline: Deadline): Promise<Read<Known>> =>
    breaker(() => gathered(asked, deadline), deadline);
}

/** SQLSTATE feature_not_supported: a migration has changed the columns of what a connection has prepared. */
const CHANGED = '0A000';

/** LOAD_FACTS, prepared once by each connection: to plan it takes longer than to run it. */
function preparedStatement(db: Knex) {
  let version = 0;
  let isPrepared = true;
  const nameOf = (version: number): string => statementName(`facts-${version}`);
  return async (bindings: Knex.RawBinding[], isWanted: () => boolean): Promise<Rows> => {
    const name = nameOf(version);
    try {
      return await db
        .raw<Rows>(LOAD_FACTS, bindings)
        .options(isPrepared ? { name } : {})
        .on('start', () => {
          if (!isWanted()) throw new Failure('DEADLINE_EXCEEDED');
        });
    } catch (error) {
      const { code } = error as { code?: unknown };
      // The next one is prepared anew, or not any more.
      if (code === CHANGED && name === nameOf(version)) version += 1;
      if (isLostStatement(error)) isPrepared = false;
      throw error;
    }
  };
}

interface Rows {
  readonly rows: readonly StoredRow[];
}

/** What a key in clear may be stored as: under which of the peppers is unknown before it is found. None of what is no key. */
export const digestsOf = (peppers: readonly Pepper[], apiKey: string): readonly Digested[] =>
  isToken('apiKey', apiKey) ? peppers.map((pepper) => ({ pepper, digest: digestOf(pepper, apiKey) })) : [];

/** A question, its key by what it may be stored as. */
export interface AskedByDigest {
  readonly digests: readonly Digested[];
  readonly businessId: string | undefined;
}

/**
 * Reads what is stored of all questions by one statement, LOAD_FACTS, which `run` sends to the primary.
 * @throws Failure UNAVAILABLE for an unexpected answer, or what `run` throws
 */
export async function readStored(
  asked: readonly AskedByDigest[],
  run: (bindings: Knex.RawBinding[]) => PromiseLike<Rows>,
): Promise<Read<Known>> {
  const [answer] = await readAll([asked], run);
  if (!answer) throw oddAnswer();
  return answer();
}

/**
 * As readStored, for several that ask: of each an answer of its own, which throws Failure UNAVAILABLE where what is stored of its
 * questions is unexpected. That of one must not fail another's.
 */
async function readAll(
  calls: readonly (readonly AskedByDigest[])[],
  run: (bindings: Knex.RawBinding[]) => PromiseLike<Rows>,
): Promise<Answers<Read<Known>>> {
  const asked = calls.flat();
  const { rows } = await run([
    asked.flatMap(({ digests }, number) => digests.map(() => number)),
    asked.flatMap(({ digests }) => digests.map(({ digest }) => digest)),
    asked.flatMap(({ digests, businessId }) => digests.map(() => businessId ?? null)),
  ] as unknown as Knex.RawBinding[]);
  const { seq, found } = rowsOf(rows, asked.length);
  let next = 0;
  return calls.map((call) => {
    const first = next;
    next += call.length;
    return () => ({ seq, found: call.map((one, place) => findOf(one, found.get(first + place))) });
  });
}

const isAsked = (question: Question): question is Asked =>
  question.apiKey !== undefined && isToken('apiKey', question.apiKey);

/** The rows by question. @throws Failure UNAVAILABLE for rows that fit no question, or a standby's, which may lag behind */
function rowsOf(rows: readonly StoredRow[], count: number): { seq: number; found: Map<number, StoredRow | 'several'> } {
  const [first] = rows;
  if (first?.standby !== false || !Number.isSafeInteger(first.seq)) {
    throw databaseFailure(
      new Error('the facts came from a standby, or without a change number; DATABASE_URL must name the primary'),
    );
  }
  const found = new Map<number, StoredRow | 'several'>();
  if (rows.length === 1 && first.asked === null && first.digest === null) return { seq: first.seq, found };
  for (const row of rows) {
    const { asked } = row;
    // To skip one would be a guess.
    if (asked === null || !Number.isInteger(asked) || asked < 0 || asked >= count) throw oddAnswer();
    found.set(asked, found.has(asked) ? 'several' : row);
  }
  return { seq: first.seq, found };
}

const oddAnswer = () =>
  databaseFailure(new Error('the rows for a key do not fit the question: two rows, another key, or a bad expiry'));

/** A key's digest under one of the peppers. */
export interface Digested {
  readonly pepper: Pick<Pepper, 'id'>;
  readonly digest: Buffer;
}

function findOf({ businessId, digests: asked }: AskedByDigest, row: StoredRow | 'several' | undefined): Found<Known> {
  const digests = asked.map(({ digest }) => digestTag(digest));
  const always = { since: Number.NEGATIVE_INFINITY, until: Number.POSITIVE_INFINITY };
  if (!row) return { value: unknownKey(businessId), exists: false, tags: digests, ...always };
  // To pick one of two rows for a question would be a guess.
  if (row === 'several') throw oddAnswer();
  const confirmed = asked.find(({ digest }) => same(digest, row.digest));
  const { expires } = row;
  // To take it for an unknown key, or for one that never expires, would be a guess.
  if (!confirmed || (expires !== null && typeof expires !== 'number')) throw oddAnswer();
  const businesses = businessId === undefined ? [] : [tagOf('business', businessId)];
  const tags = [tagOf('key', row['key.id']), tagOf('user', row['user.id']), ...businesses, ...digests];
  const end = expires ?? Number.POSITIVE_INFINITY;
  const times = {
    ...always,
    ...(row['key.status'] === 'active' && { until: end }),
    ...(row['key.status'] === 'expired' && { since: end }),
  };
  // A key with an unknown business is a negative entry: made-up ids must not evict positive entries.
  const exists = businessId === undefined || row['target.status'] !== 'unknown';
  const value = knownOf(businessId, row, redigestOf(confirmed, asked[0]));
  return { value, exists, tags, bytes: attributeBytes(row), ...times };
}

/** Undefined when the key was found under the current pepper, which is the first. */
const redigestOf = (found: Digested, current: Digested | undefined): Redigest | undefined =>
  current === undefined || current.pepper === found.pepper
    ? undefined
    : { from: found.digest, to: current.digest, pepperId: current.pepper.id };

const same = (asked: Buffer, stored: unknown): boolean =>
  Buffer.isBuffer(stored) && stored.length === asked.length && timingSafeEqual(stored, asked);

/** What is known of a key that there is not. */
export const unknownKey = (businessId: string | undefined): Known => ({
  key: UNKNOWN_KEY,
  user: UNKNOWN_USER,
  target: closed({
    ...NO_TARGET,
    ...(businessId !== undefined && { id: businessId, status: 'unknown' as const }),
  }),
  stored: WITHOUT_ATTRIBUTES,
  reasons: NO_REASONS,
  limit: undefined,
  redigest: undefined,
});

export const knownOf = (businessId: string | undefined, row: StoredRow, redigest: Redigest | undefined): Known => ({
  key: storedGroup('key', row),
  user: storedGroup('user', row),
  target: businessId === undefined ? NO_TARGET : closed({ ...storedGroup('target', row), id: businessId }),
  stored: storedAttributes(row),
  reasons: reasonsOf(row),
  limit: limitOf(row),
  redigest,
});

const NO_REASONS: Known['reasons'] = closed({ user: undefined, target: undefined });

const reasonsOf = ({ user_reason: user, target_reason: target }: StoredRow): Known['reasons'] =>
  user === null && target === null ? NO_REASONS : { user: user ?? undefined, target: target ?? undefined };

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 1;

function limitOf({ limit_requests: requests, limit_window_seconds: windowSeconds }: StoredRow): RateLimit | undefined {
  if (requests === null && windowSeconds === null) return undefined;
  // No count exceeds NaN, so a limit that is no number would be no limit.
  if (!isCount(requests) || !isCount(windowSeconds))
    throw databaseFailure(new Error('a stored rate limit is not two whole numbers'));
  return { requests, windowSeconds };
}

const UNKNOWN_WITHOUT_TARGET = unknownKey(undefined);
/** For a text that has not the form of a key, which is not looked up. */
const noKey = (businessId: string | undefined): Known =>
  businessId === undefined ? UNKNOWN_WITHOUT_TARGET : unknownKey(businessId);
