/**
 * Writes `last_used_at` in batches (write-behind): no write per request, and at most a minute late. In the same statement
 * it moves keys from an older pepper to the current one, which takes the key in clear, and so can only happen on a use.
 */

import type { Knex } from 'knex';
import type { Redigest } from '../credentials/token.ts';
import type { Log } from '../log.ts';
import { every } from '../loop.ts';

export interface Use {
  readonly keyId: string;
  /** Milliseconds since 1970. */
  readonly at: number;
  /** For a key under an older pepper. */
  readonly redigest?: Redigest | undefined;
}

/** The latest use of a key that is not written. Changed in place: one is noted for each decision. */
interface Noted {
  readonly keyId: string;
  at: number;
  redigest: Redigest | undefined;
  /** When the oldest use was noted that is not written, by the monotonic clock. */
  since: number;
}

export interface Usage {
  readonly note: (use: Use) => void;
  /** Stops, and writes the pending uses, also where the flush under way fails. Logs those that could not be written. */
  readonly close: () => Promise<void>;
}

const INTERVAL_MS = 5000;
/**
 * In intervals: how long the oldest use of a key waits, so that a key in steady use is written once in forty seconds, and the keys of a
 * replica not all at once. Four flushes are left of the promised minute, so that a key may be locked during the first three.
 */
const WAIT = 8;
/** Keys in one statement: short, because a commit of decisions may wait for the same disk. */
const CHUNK = 1000;
/** Milliseconds that a statement of the last flush may take. Short, because the end of the process waits for it. */
const LAST_FLUSH_MS = 5000;

// Skips rows that others have locked rather than wait, and returns their ids for the next flush. Deleted keys are not returned.
const WRITE = `
  with used as (
    select * from jsonb_to_recordset(?::jsonb) as u (id text, at timestamptz, old_digest bytea, new_digest bytea, pepper_id text)
  ), free as (
    select id from api_keys where id in (select id from used) for update skip locked
  ), written as (
    update api_keys k set
      last_used_at = greatest(k.last_used_at, u.at),
      digest = case when k.digest = u.old_digest then u.new_digest else k.digest end,
      pepper_id = case when k.digest = u.old_digest then u.pepper_id else k.pepper_id end
    from used u where k.id = u.id and k.id in (select id from free)
  )
  select id from api_keys where id in (select id from used) and id not in (select id from free)`;

export function createUsage(db: Knex, log: Log, { intervalMs = INTERVAL_MS, lastFlushMs = LAST_FLUSH_MS } = {}): Usage {
  const noted = new Map<string, Noted>();

  /** Those whose oldest use came before that moment. */
  const flush = async (before: number, limitMs?: number): Promise<void> => {
    const due = [...noted.values()].filter(({ since }) => since <= before);
    for (let start = 0; start < due.length; start += CHUNK) {
      const startedAt = performance.now();
      const chunk = due.slice(start, start + CHUNK).map((use) => ({ use, at: use.at }));
      const { rows } = await db
        .raw<{ rows: { id: string }[] }>(WRITE, [JSON.stringify(chunk.map(({ use }) => rowOf(use)))])
        // At 'start', where the pool sets its own, longer limit (connect.ts).
        .on('start', (statement: Knex.Raw) => limitMs !== undefined && statement.timeout(limitMs));
      const locked = new Set(rows.map((row) => row.id));
      // A key that was locked, or used again meanwhile, stays noted for a later flush; after a failure, so do all.
      for (const { use, at } of chunk) {
        if (locked.has(use.keyId)) continue;
        if (use.at === at) noted.delete(use.keyId);
        else use.since = startedAt;
      }
    }
  };
  const loop = every(intervalMs, () => flush(performance.now() - WAIT * intervalMs), {
    first: 'later',
    onError: (error) => log.warn({ error }, 'last_used_at of keys could not be written; the next flush includes it'),
  });

  return {
    note: ({ keyId, at, redigest }) => {
      const known = noted.get(keyId);
      if (known) {
        known.at = at;
        known.redigest = redigest ?? known.redigest;
      } else noted.set(keyId, { keyId, at, redigest, since: performance.now() });
    },
    close: async () => {
      await loop.close();
      const last = (): Promise<void> => flush(Number.POSITIVE_INFINITY, lastFlushMs);
      // Twice: a connection that the server has just ended stays in the pool until its socket closes, and fails the first one.
      const error: unknown = await last()
        .catch(last)
        .catch((thrown: unknown) => thrown);
      if (noted.size > 0)
        log.warn(
          { error, keys: noted.size },
          'last_used_at of keys could not be written before the end; these uses are lost',
        );
    },
  };
}

const hex = (bytes: Buffer | undefined): string | null => (bytes ? `\\x${bytes.toString('hex')}` : null);

const rowOf = ({ keyId, at, redigest }: Noted) => ({
  id: keyId,
  at: new Date(at).toISOString(),
  old_digest: hex(redigest?.from),
  new_digest: hex(redigest?.to),
  pepper_id: redigest?.pepperId ?? null,
});
