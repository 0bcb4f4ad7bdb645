/**
 * Generates the API keys of an import in constant memory: each is derived from its id and a random seed, which never leaves
 * the process. So a key can be digested when its entry is read, and derived again to be shown after the commit.
 */

import { createHmac, randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Knex } from 'knex';
import { createToken, digestOf, type Pepper } from '../credentials/token.ts';
import { Failure } from '../errors.ts';

/** A generated key in clear. */
export interface GeneratedKey {
  readonly id: string;
  readonly apiKey: string;
}

/** The keys that an import generated and stored. */
export interface Generated {
  /** The time of their transaction, which is their created_at. */
  readonly at: string;
  readonly count: number;
}

const PAGE = 1000;
const ATTEMPTS = 5;
const PAUSE_MS = 1000;
// The largest multiple of 62 in a byte. Bytes from there on are rejected, so that all digits are equally likely.
const BYTES_USED = 248;

/** A function from id to key: its 30 random digits come from HMAC-SHA-512 under a seed of 256 random bits. */
export function createKeyGenerator(): (id: string) => string {
  const seed = randomBytes(32);
  return (id) => {
    let block = Buffer.alloc(0);
    let at = 0;
    let blocks = 0;
    return createToken('apiKey', () => {
      for (;;) {
        if (at === block.length) {
          block = createHmac('sha512', seed).update(`${blocks} ${id}`).digest();
          blocks += 1;
          at = 0;
        }
        const byte = block[at] ?? BYTES_USED;
        at += 1;
        if (byte < BYTES_USED) return byte % 62;
      }
    });
  };
}

/**
 * The generated keys in clear, by id: the ids are read back from the database, the keys derived again. A lost connection is
 * replaced up to four times, since the keys can be shown at no other time.
 * INVARIANT: a key is shown only if its digest is the stored one.
 * @throws Failure UNAVAILABLE
 */
export async function* generatedKeys(
  db: Knex,
  pepper: Pepper,
  keyOf: (id: string) => string,
  { at, count }: Generated,
): AsyncGenerator<readonly GeneratedKey[]> {
  let last = '';
  let failed = 0;
  for (let open = count > 0; open; ) {
    try {
      for await (const rows of pages(db, at, last)) {
        last = rows.at(-1)?.id ?? last;
        yield rows.flatMap(({ id, digest }) => {
          const apiKey = keyOf(id);
          return digestOf(pepper, apiKey).equals(digest) ? [{ id, apiKey }] : [];
        });
      }
      open = false;
    } catch (cause) {
      failed += 1;
      if (failed === ATTEMPTS) {
        const message =
          'Everything is loaded, but the database failed before all the new API keys were shown. ' +
          `Rotate those of the ${count} that you miss: they cannot be shown again.`;
        throw new Failure('UNAVAILABLE', message, { cause });
      }
      await sleep(PAUSE_MS);
    }
  }
}

interface StoredKey {
  readonly id: string;
  readonly digest: Buffer;
}

/** The keys created at that time, through a server-side cursor: one scan of the table, in constant memory. */
async function* pages(db: Knex, at: string, after: string): AsyncGenerator<StoredKey[]> {
  const trx = await db.transaction();
  try {
    await trx.raw(
      `declare made no scroll cursor for
       select id, digest from api_keys where created_at = ?::timestamptz and id > ? order by id`,
      [at, after],
    );
    for (;;) {
      const { rows } = await trx.raw<{ rows: StoredKey[] }>(`fetch ${PAGE} from made`);
      if (rows.length === 0) return;
      yield rows;
    }
  } finally {
    await trx.rollback().catch(() => undefined);
  }
}
