/** The services that may ask us, found by the token that they bring. */

import { createHash, timingSafeEqual } from 'node:crypto';
import type { Knex } from 'knex';
import type { Breaker } from '../db/breaker.ts';
import type { Deadline } from '../deadline.ts';
import { digestOf, isToken, type Pepper } from '../keys/token.ts';

export const SCOPES = ['authorize', 'keys', 'directory', 'audit', 'policy'] as const;
export type Scope = (typeof SCOPES)[number];

export interface Caller {
  readonly id: string;
  readonly scopes: ReadonlySet<Scope>;
}

/** The caller that a token is of, or undefined when it is of none. */
export type FindCaller = (token: string, deadline: Deadline) => Promise<Caller | undefined>;

interface Found {
  id: string;
  digest: Buffer;
  scopes: Scope[];
}

const FIND = `
  select id, digest, scopes from callers
  where digest = any(?::bytea[]) and revoked_at is null and (expires_at is null or expires_at > now())`;

/**
 * Finds callers in `db`, and the one that `BOOTSTRAP_TOKEN` makes.
 * @throws Failure UNAVAILABLE or DEADLINE_EXCEEDED, through the breaker; junk never reaches the database.
 */
export function callerFinder(
  db: Knex,
  peppers: readonly Pepper[],
  breaker: Breaker,
  bootstrapToken: string | undefined,
): FindCaller {
  const bootstrap: Caller = { id: 'bootstrap', scopes: new Set(SCOPES) };
  const bootstrapHash = bootstrapToken === undefined ? undefined : sha256(bootstrapToken);
  return async (token, deadline) => {
    // Hashes are compared, so that the time taken tells nothing of the token, its length included.
    if (bootstrapHash && timingSafeEqual(sha256(token), bootstrapHash)) return bootstrap;
    if (!isToken('caller', token)) return undefined;
    const digests = peppers.map((pepper) => digestOf(pepper, token));
    const { rows } = await breaker(
      async () => db.raw<{ rows: Found[] }>(FIND, [digests]).on('start', deadline.check),
      deadline,
    );
    const row = rows.find(({ digest }) => digests.some((asked) => timingSafeEqual(asked, digest)));
    return row && { id: row.id, scopes: new Set(row.scopes) };
  };
}

const sha256 = (text: string): Buffer => createHash('sha256').update(text).digest();
