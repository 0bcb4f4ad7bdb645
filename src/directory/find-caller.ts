/** Authenticates callers by their token: the bootstrap token, or one of the callers that are held in memory. */

import { hash, timingSafeEqual } from 'node:crypto';
import type { Knex } from 'knex';
import type { Awaitable } from '../awaitable.ts';
import { digestTextOf, isToken, type Pepper } from '../credentials/token.ts';
import type { Breaker } from '../db/breaker.ts';
import { databaseFailure } from '../db/failure.ts';
import { type Deadline, deadlineIn } from '../deadline.ts';
import { type Bounds, boundsOf } from './bounds.ts';
import type { AllCallers, CallerDigests, Held } from './caller-digests.ts';

export const SCOPES = [
  'authorize',
  'evaluate',
  'search',
  'keys',
  'keys:read',
  'keys:grant-user-management',
  'directory',
  'directory:read',
  'audit',
  'policy',
  'policy:read',
  'freeze',
] as const;
export type Scope = (typeof SCOPES)[number];

/** The scopes that a caller has: those that it was given, and the read-only form of each. */
const withReads = (given: readonly Scope[]): ReadonlySet<Scope> =>
  new Set(SCOPES.filter((scope) => given.includes(scope) || given.some((each) => scope === `${each}:read`)));

export interface Caller {
  readonly id: string;
  readonly scopes: ReadonlySet<Scope>;
  /** Undefined: not bound. */
  readonly bounds: Bounds | undefined;
}

export interface FindCaller {
  /** The caller of a token; undefined when there is none, or it is revoked or expired. At once where it is known. */
  (token: string, deadline: Deadline): Awaitable<Caller | undefined>;
  /** The caller of a token, where it is known now; undefined: it may be known to the database. Reads and counts nothing. */
  readonly known: (token: string) => Caller | undefined;
}

export type HeldCaller = Caller & Held;

interface CallerRow {
  /** The highest change number in the statement's snapshot, and the database's clock. */
  seq: number;
  clock: number;
  standby: boolean;
  /** Null in the one row that is returned when there is no caller. */
  id: string | null;
  digest: Buffer;
  scopes: Scope[];
  bound_users: string[] | null;
  bound_businesses: string[] | null;
  /** Milliseconds since 1970, by the database's clock; null: never. */
  expires: number | null;
}

const READ_ALL = `
  select feed.last::float8 as seq, pg_is_in_recovery() as standby,
    extract(epoch from clock_timestamp())::float8 * 1000 as clock, live.*
  from change_counter feed left join (
    select id, digest, scopes, bound_users, bound_businesses, extract(epoch from expires_at)::float8 * 1000 as expires
    from callers where revoked_at is null and (expires_at is null or expires_at > now())
  ) live on true`;

/**
 * Makes the read of all callers from `db`, which must be the primary; it takes at most `limitMs` milliseconds.
 * The promise rejects with Failure UNAVAILABLE or DEADLINE_EXCEEDED, through the breaker.
 */
export const callersReader =
  (db: Knex, breaker: Breaker, limitMs: number) => async (): Promise<AllCallers<HeldCaller>> => {
    const { rows } = await breaker(async () => db.raw<{ rows: CallerRow[] }>(READ_ALL), deadlineIn(limitMs));
    const [first] = rows;
    if (first?.standby !== false || !Number.isSafeInteger(first.seq) || !Number.isFinite(first.clock))
      throw databaseFailure(
        new Error('the callers came from a standby, or without a change number; DATABASE_URL must name the primary'),
      );
    const callers = new Map<string, HeldCaller>();
    for (const { id, digest, scopes, bound_users, bound_businesses, expires } of rows) {
      if (id === null) continue;
      // To take it for one that never expires would be a guess.
      if (expires !== null && typeof expires !== 'number')
        throw databaseFailure(new Error(`the expiry of the caller ${id} is no time`));
      const bounds = boundsOf(bound_users, bound_businesses);
      const caller = { id, scopes: withReads(scopes), bounds, expires: expires ?? Number.POSITIVE_INFINITY };
      callers.set(digest.toString('latin1'), caller);
    }
    return { seq: first.seq, clock: first.clock, callers };
  };

/**
 * Finds callers among those in memory, by a digest under any of the peppers. `bootstrapToken` is that of a caller with every
 * scope. A text without a token's form and checksum is nobody's, at once.
 * The promise rejects with Failure UNAVAILABLE or DEADLINE_EXCEEDED.
 */
export function callerFinder(
  callers: CallerDigests<HeldCaller>,
  peppers: readonly Pepper[],
  bootstrapToken: string | undefined,
): FindCaller {
  const bootstrap: Caller = { id: 'bootstrap', scopes: new Set(SCOPES), bounds: undefined };
  const bootstrapHash = bootstrapToken === undefined ? undefined : sha256(bootstrapToken);
  const digestsOf = (token: string): string[] => peppers.map((pepper) => digestTextOf(pepper, token));
  // Hashes of equal length compare in constant time, which reveals nothing of the token, not even its length.
  const isBootstrap = (token: string): boolean =>
    bootstrapHash !== undefined && timingSafeEqual(sha256(token), bootstrapHash);
  const known = (token: string): Caller | undefined => {
    if (isBootstrap(token)) return bootstrap;
    return isToken('caller', token) ? callers.peek(digestsOf(token)) : undefined;
  };
  const find = (token: string, deadline: Deadline): Awaitable<Caller | undefined> =>
    known(token) ?? (isToken('caller', token) ? callers.find(digestsOf(token), deadline) : undefined);
  return Object.assign(find, { known });
}

const sha256 = (text: string): Buffer => hash('sha256', text, 'buffer');
