/** Authenticates callers by their token, through a cache that the change feed invalidates, so that a revocation takes effect. */

import { createHash, timingSafeEqual } from 'node:crypto';
import type { Knex } from 'knex';
import { digestOf, isToken, type Pepper } from '../credentials/token.ts';
import type { Breaker } from '../db/breaker.ts';
import { databaseFailure } from '../db/failure.ts';
import type { Deadline } from '../deadline.ts';
import type { Cache, Found, Read } from '../facts/cache.ts';
import { digestTag, tagOf } from '../facts/freshness.ts';

export const SCOPES = ['authorize', 'keys', 'directory', 'audit', 'policy'] as const;
export type Scope = (typeof SCOPES)[number];

export interface Caller {
  readonly id: string;
  readonly scopes: ReadonlySet<Scope>;
}

/** The caller of a token; undefined when there is none, or it is revoked or expired. */
export type FindCaller = (token: string, deadline: Deadline) => Promise<Caller | undefined>;

interface CallerRow {
  /** The highest change number in the statement's snapshot. */
  seq: number;
  standby: boolean;
  /** Null in the one row that is returned when no caller was found. */
  id: string | null;
  digest: Buffer;
  scopes: Scope[];
  live: boolean;
  /** Milliseconds since 1970, by the database's clock; null: never. */
  expires: number | null;
}

// Finds revoked and expired callers, too: that they are refused is cached under their tags, as `null`.
const FIND = `
  select feed.last::float8 as seq, pg_is_in_recovery() as standby, found.*
  from change_counter feed left join (
    select id, digest, scopes, extract(epoch from expires_at)::float8 * 1000 as expires,
      revoked_at is null and (expires_at is null or expires_at > now()) as live
    from callers where digest = any(?::bytea[])
  ) found on true`;

/**
 * Makes a finder that reads `db`, which must be the primary, through `cache`. `bootstrapToken` is that of a caller with every
 * scope. A text without a token's form and checksum never reaches the database.
 * @throws Failure UNAVAILABLE or DEADLINE_EXCEEDED, through the breaker.
 */
export function callerFinder(
  db: Knex,
  peppers: readonly [Pepper, ...Pepper[]],
  breaker: Breaker,
  cache: Cache<Caller | null>,
  bootstrapToken: string | undefined,
): FindCaller {
  const [current] = peppers;
  const read = async (token: string, deadline: Deadline): Promise<Read<Caller | null>> => {
    const digests = peppers.map((pepper) => digestOf(pepper, token));
    const { rows } = await breaker(
      async () => db.raw<{ rows: CallerRow[] }>(FIND, [digests]).on('start', deadline.check),
      deadline,
    );
    return readOf(digests, rows);
  };
  const bootstrap: Caller = { id: 'bootstrap', scopes: new Set(SCOPES) };
  const bootstrapHash = bootstrapToken === undefined ? undefined : sha256(bootstrapToken);
  return async (token, deadline) => {
    // Hashes of equal length compare in constant time, which reveals nothing of the token, not even its length.
    if (bootstrapHash && timingSafeEqual(sha256(token), bootstrapHash)) return bootstrap;
    if (!isToken('caller', token)) return undefined;
    const names = [digestOf(current, token).toString('latin1')];
    const [caller] = cache.recall(names) ?? (await deadline.race(cache.load(names, () => read(token, deadline))));
    return caller ?? undefined;
  };
}

/** @throws Failure UNAVAILABLE for a standby's answer, several rows, or a row with another digest */
function readOf(digests: readonly Buffer[], [row, ...others]: readonly CallerRow[]): Read<Caller | null> {
  if (row?.standby !== false || !Number.isSafeInteger(row.seq) || others.length > 0)
    throw databaseFailure(
      new Error(
        'the caller came from a standby, without a change number, or twice; DATABASE_URL must name the primary',
      ),
    );
  const tags = digests.map(digestTag);
  const always = { since: Number.NEGATIVE_INFINITY, until: Number.POSITIVE_INFINITY };
  const { seq, id, live } = row;
  if (id === null) return { seq, found: [{ value: null, exists: false, tags, ...always }] };
  if (!digests.some((asked) => timingSafeEqual(asked, row.digest)))
    throw databaseFailure(new Error('the database returned a caller with another digest'));
  const found: Found<Caller | null> = {
    value: live === true ? { id, scopes: new Set(row.scopes) } : null,
    exists: true,
    tags: [tagOf('caller', id), ...tags],
    ...always,
    ...(live === true && row.expires !== null && { until: row.expires }),
  };
  return { seq, found: [found] };
}

const sha256 = (text: string): Buffer => createHash('sha256').update(text).digest();
