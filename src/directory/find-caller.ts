/** The services that may ask us, found by the token that they bring; kept as facts are, so that a revoked one is told. */

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

/** The caller that a token is of, or undefined when it is of none. */
export type FindCaller = (token: string, deadline: Deadline) => Promise<Caller | undefined>;

interface CallerRow {
  /** The last change that is visible to the statement. */
  seq: number;
  standby: boolean;
  /** Null in the only row of an answer that has found none. */
  id: string | null;
  digest: Buffer;
  scopes: Scope[];
  live: boolean;
  /** Milliseconds since 1970, by the database's clock; null: never. */
  expires: number | null;
}

// A revoked or expired caller is found too: that it is none now is kept as well.
const FIND = `
  select feed.last::float8 as seq, pg_is_in_recovery() as standby, found.*
  from change_counter feed left join (
    select id, digest, scopes, extract(epoch from expires_at)::float8 * 1000 as expires,
      revoked_at is null and (expires_at is null or expires_at > now()) as live
    from callers where digest = any(?::bytea[])
  ) found on true`;

/**
 * Finds callers in `db`, which must be the primary, keeps them in `cache`; and finds the one that `BOOTSTRAP_TOKEN` makes.
 * @throws Failure UNAVAILABLE or DEADLINE_EXCEEDED, through the breaker; junk never reaches the database.
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
    // Hashes are compared, so that the time taken tells nothing of the token, its length included.
    if (bootstrapHash && timingSafeEqual(sha256(token), bootstrapHash)) return bootstrap;
    if (!isToken('caller', token)) return undefined;
    const names = [digestOf(current, token).toString('latin1')];
    const [caller] = cache.recall(names) ?? (await deadline.race(cache.load(names, () => read(token, deadline))));
    return caller ?? undefined;
  };
}

/** @throws Failure UNAVAILABLE for an answer that is none, a standby's, or to another question. */
function readOf(digests: readonly Buffer[], [row, ...others]: readonly CallerRow[]): Read<Caller | null> {
  if (row?.standby !== false || !Number.isSafeInteger(row.seq) || others.length > 0)
    throw databaseFailure(new Error('a caller was asked of a server that is not the primary, or answered for twice'));
  const tags = digests.map(digestTag);
  const always = { since: Number.NEGATIVE_INFINITY, until: Number.POSITIVE_INFINITY };
  const { seq, id, live } = row;
  if (id === null) return { seq, found: [{ value: null, exists: false, tags, ...always }] };
  if (!digests.some((asked) => timingSafeEqual(asked, row.digest)))
    throw databaseFailure(new Error('another caller was answered for'));
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
