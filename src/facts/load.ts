/**
 * From what a client sent to the facts that are decided on: one round trip for a whole batch, behind a breaker and
 * under the request's deadline. What the database cannot tell is a failure, never a guess.
 */

import { timingSafeEqual } from 'node:crypto';
import type { Knex } from 'knex';
import type { Breaker } from '../db/breaker.ts';
import { databaseFailure } from '../db/connect.ts';
import type { Deadline } from '../deadline.ts';
import type { RateLimit } from '../directory/users.ts';
import { digestOf, isToken, type Pepper } from '../keys/token.ts';
import type { Use } from '../keys/usage.ts';
import { closed, type Facts } from '../policy/facts.ts';

export interface Question {
  /** The API key as the client gave it; undefined when it gave none, or one that no header could carry. */
  readonly apiKey: string | undefined;
  readonly action: string;
  readonly businessId: string | undefined;
}

export interface Loaded {
  readonly facts: Facts;
  /** The public reasons for which the user and the target are disabled, for the codes that show one. */
  readonly reasons: { readonly user: string | undefined; readonly target: string | undefined };
  /** The key's own rate limit, else its user's; undefined: the default. */
  readonly limit: RateLimit | undefined;
  /** For a key that stands under an older pepper than the current one. */
  readonly redigest: Use['redigest'];
}

interface FactsRow {
  asked: number;
  digest: Buffer | null;
  key_id: string;
  key_status: Facts['key']['status'];
  allow_user_management: boolean;
  environment: string;
  user_id: string;
  user_status: Facts['user']['status'];
  user_businesses: Facts['user']['businesses'];
  user_reason: string | null;
  target_status: Facts['target']['status'];
  target_reason: string | null;
  role: Facts['target']['role'];
  in_restriction: boolean;
  limit_requests: number | null;
  limit_window_seconds: number | null;
}

// Expiry compares with the database's clock, so that all processes agree on the moment. What comes back is the facts
// themselves, each checked by `decide`: nothing is concluded here from a value that could be missing.
// The two parts of a limit are null together (a check of both tables), so that they never come from two owners.
const LOAD = `
  select asked.number as asked, k.digest, k.id as key_id,
    case when k.revoked_at is not null then 'revoked' when k.expires_at <= now() then 'expired' else 'active' end as key_status,
    k.allow_user_management, k.environment,
    coalesce(u.id, '') as user_id, u.disabled_reason as user_reason,
    case when u.id is null then 'unknown' when u.disabled_at is not null then 'disabled' else 'active' end as user_status,
    case when u.businesses_disabled_at is not null then 'disabled' else 'active' end as user_businesses,
    case when b.id is null then 'unknown' when b.disabled_at is not null then 'disabled' else 'active' end as target_status,
    b.disabled_reason as target_reason,
    case when m.user_id is null then 'none' else m.role end as role,
    asked.business_id is not null and (not k.restricted or r.key_id is not null) as in_restriction,
    coalesce(k.rate_limit_requests, u.rate_limit_requests) as limit_requests,
    coalesce(k.rate_limit_window_seconds, u.rate_limit_window_seconds) as limit_window_seconds
  from unnest(?::int[], ?::bytea[], ?::text[]) as asked (number, digest, business_id)
  join api_keys k on k.digest = asked.digest
  left join users u on u.id = k.user_id
  left join businesses b on b.id = asked.business_id
  left join business_members m on m.business_id = b.id and m.user_id = u.id
  left join api_key_businesses r on r.key_id = k.id and r.business_id = b.id`;

// Interned: records that do not depend on who asks.
const UNKNOWN_KEY: Facts['key'] = closed({ id: '', status: 'unknown', userManagement: false, environment: '' });
const UNKNOWN_USER: Facts['user'] = closed({ id: '', status: 'unknown', businesses: 'active' });
const NO_TARGET: Facts['target'] = closed({ id: '', status: 'none', role: 'none', inRestriction: false });
const WITHIN_LIMIT: Facts['limit'] = closed({ exceeded: false });

export type LoadFacts = (questions: readonly Question[], deadline: Deadline) => Promise<Loaded[]>;

/** A loader over `db`. @throws Failure UNAVAILABLE or DEADLINE_EXCEEDED, through the breaker. */
export function factsLoader(db: Knex, peppers: readonly Pepper[], breaker: Breaker): LoadFacts {
  return async (questions, deadline) => {
    // A key stands in the table under one of the peppers; which of them is not known before it is found.
    const digests = questions.flatMap(({ apiKey, businessId }, number) =>
      apiKey !== undefined && isToken('apiKey', apiKey)
        ? peppers.map((pepper) => ({ number, pepper, digest: digestOf(pepper, apiKey), businessId }))
        : [],
    );
    const found = new Map<number, Found>();
    if (digests.length > 0) {
      const bindings = [
        digests.map((entry) => entry.number),
        digests.map((entry) => entry.digest),
        digests.map((entry) => entry.businessId ?? null),
      ] as Knex.RawBinding[];
      const { rows } = await breaker(
        async () => db.raw<{ rows: FactsRow[] }>(LOAD, bindings).on('start', deadline.check),
        deadline,
      );
      for (const row of rows) {
        const asked = digests.filter((entry) => entry.number === row.asked);
        const confirmed = asked.find((entry) => same(entry.digest, row.digest));
        // Taken for an unknown key, or for one of the two, it would be a guess.
        if (!confirmed || found.has(row.asked))
          throw databaseFailure(new Error('a key was answered for oddly, or twice'));
        found.set(row.asked, { row, redigest: redigestOf(confirmed, asked[0]) });
      }
    }
    return questions.map((question, number) => factsOf(question, found.get(number)));
  };
}

interface Found {
  readonly row: FactsRow;
  readonly redigest: Loaded['redigest'];
}

interface Digested {
  readonly pepper: Pepper;
  readonly digest: Buffer;
}

/** From the digest under which a key was found to that under the current pepper, which is always the first. */
const redigestOf = (found: Digested, current: Digested | undefined): Loaded['redigest'] =>
  current === undefined || current.pepper === found.pepper
    ? undefined
    : { from: found.digest, to: current.digest, pepperId: current.pepper.id };

const same = (asked: Buffer, stored: unknown): boolean =>
  Buffer.isBuffer(stored) && stored.length === asked.length && timingSafeEqual(stored, asked);

function factsOf({ action, businessId }: Question, found: Found | undefined): Loaded {
  const request = closed({ action });
  if (!found) {
    const target: Facts['target'] =
      businessId === undefined
        ? NO_TARGET
        : closed({ id: businessId, status: 'unknown', role: 'none', inRestriction: false });
    return {
      facts: closed({ key: UNKNOWN_KEY, user: UNKNOWN_USER, target, limit: WITHIN_LIMIT, request }),
      reasons: { user: undefined, target: undefined },
      limit: undefined,
      redigest: undefined,
    };
  }
  const { row, redigest } = found;
  const key: Facts['key'] = closed({
    id: row.key_id,
    status: row.key_status,
    userManagement: row.allow_user_management,
    environment: row.environment,
  });
  return {
    facts: closed({ key, user: userOf(row), target: targetOf(businessId, row), limit: WITHIN_LIMIT, request }),
    reasons: { user: row.user_reason ?? undefined, target: row.target_reason ?? undefined },
    limit: limitOf(row),
    redigest,
  };
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 1;

function limitOf({ limit_requests: requests, limit_window_seconds: windowSeconds }: FactsRow): RateLimit | undefined {
  if (requests === null && windowSeconds === null) return undefined;
  // Nothing ever exceeds a limit that is no number.
  if (!isCount(requests) || !isCount(windowSeconds))
    throw databaseFailure(new Error('a rate limit was answered oddly'));
  return { requests, windowSeconds };
}

function userOf({ user_id: id, user_status: status, user_businesses: businesses }: FactsRow): Facts['user'] {
  return closed({ id, status, businesses });
}

function targetOf(id: string | undefined, row: FactsRow): Facts['target'] {
  if (id === undefined) return NO_TARGET;
  return closed({ id, status: row.target_status, role: row.role, inRestriction: row.in_restriction });
}
