/**
 * Before a process serves its first question it reads what it will probably be asked about, so that a deployment does not send every
 * busy key to the database at once. It is a help and no more: whatever of it fails is read when it is asked for.
 */

import type { Knex } from 'knex';
import type { Pepper } from '../credentials/token.ts';
import { type Deadline, deadlineIn } from '../deadline.ts';
import type { Log } from '../log.ts';
import { type LoadFacts, tryToLoad } from './load.ts';

/** A key by its public id, and a business or none. */
export interface Pair {
  readonly keyId: string;
  readonly businessId: string | undefined;
}

interface Parts {
  /** The pool that questions use, of which connections are opened. */
  readonly db: Knex;
  /** The current pepper: of a key under an older one, it is unknown what it would be asked for as. */
  readonly pepper: Pick<Pepper, 'id'>;
  readonly warm: LoadFacts['warm'];
  /** Resolves once the cache may be filled. */
  readonly confirmed: () => Promise<void>;
  /** The pairs that are worth it, the best first. */
  readonly busiest: () => Promise<readonly Pair[]>;
  readonly log: Log;
}

/** Milliseconds that a start waits for it. */
const LIMIT_MS = 3000;
/** Pairs that are read at a time. */
const CHUNK = 200;
/** Connections that are opened: those that reads of facts use (gather.ts). */
const CONNECTIONS = 2;

/** Resolves when it is done, has failed, or has taken too long; says so in the log. Never rejects. */
export async function warmUp(parts: Parts, limitMs = LIMIT_MS): Promise<void> {
  const deadline = deadlineIn(limitMs);
  const since = performance.now();
  try {
    const pairs = await deadline.race(readBusiest(parts, deadline));
    const milliseconds = Math.round(performance.now() - since);
    if (pairs > 0) parts.log.info({ pairs, milliseconds }, 'the keys that were asked about most lately are cached');
  } catch (error) {
    parts.log.warn(
      { error },
      'the keys that were asked about most lately could not all be cached; they are read when asked for',
    );
  }
}

async function readBusiest({ db, pepper, warm, confirmed, busiest }: Parts, deadline: Deadline): Promise<number> {
  const connections = Array.from({ length: CONNECTIONS }, () => tryToLoad(db));
  const [pairs] = await Promise.all([busiest(), confirmed(), ...connections]);
  let read = 0;
  for (let start = 0; start < pairs.length; start += CHUNK) {
    deadline.check();
    const chunk = pairs.slice(start, start + CHUNK);
    const digests = await digestsById(
      db,
      pepper,
      chunk.map(({ keyId }) => keyId),
    );
    const known = chunk.flatMap(({ keyId, businessId }) => {
      const digest = digests.get(keyId);
      return digest ? [{ digests: [{ pepper, digest }], businessId }] : [];
    });
    await warm(known, deadline);
    read += known.length;
  }
  return read;
}

async function digestsById(
  db: Knex,
  { id }: Pick<Pepper, 'id'>,
  keyIds: readonly string[],
): Promise<Map<string, Buffer>> {
  const { rows } = await db.raw<{ rows: { id: string; digest: Buffer }[] }>(
    'select id, digest from api_keys where id = any(?::text[]) and pepper_id = ?',
    [keyIds as unknown as Knex.RawBinding, id],
  );
  return new Map(rows.map(({ id, digest }) => [id, digest]));
}
