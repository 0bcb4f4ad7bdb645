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

export interface Usage {
  readonly note: (use: Use) => void;
  /** Stops, and writes the pending uses, also where the flush under way fails. Logs those that could not be written. */
  readonly close: () => Promise<void>;
}

/** Three flushes within the promised minute, so that a key may be locked during the first two. */
const INTERVAL_MS = 20_000;
const CHUNK = 5000;
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
  const noted = new Map<string, Use>();

  const flush = async (limitMs?: number): Promise<void> => {
    const uses = [...noted.values()];
    for (let start = 0; start < uses.length; start += CHUNK) {
      const chunk = uses.slice(start, start + CHUNK);
      const { rows } = await db
        .raw<{ rows: { id: string }[] }>(WRITE, [JSON.stringify(chunk.map(rowOf))])
        // At 'start', where the pool sets its own, longer limit (connect.ts).
        .on('start', (statement: Knex.Raw) => limitMs !== undefined && statement.timeout(limitMs));
      const locked = new Set(rows.map((row) => row.id));
      // A key that was locked, or used again meanwhile, stays noted for the next flush; after a failure, so do all.
      for (const use of chunk) if (noted.get(use.keyId) === use && !locked.has(use.keyId)) noted.delete(use.keyId);
    }
  };
  const loop = every(intervalMs, () => flush(), {
    first: 'later',
    onError: (error) => log.warn({ error }, 'last_used_at of keys could not be written; the next flush includes it'),
  });

  return {
    note: (use) => void noted.set(use.keyId, { ...use, redigest: use.redigest ?? noted.get(use.keyId)?.redigest }),
    close: async () => {
      await loop.close();
      const last = (): Promise<void> => flush(lastFlushMs);
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

const rowOf = ({ keyId, at, redigest }: Use) => ({
  id: keyId,
  at: new Date(at).toISOString(),
  old_digest: hex(redigest?.from),
  new_digest: hex(redigest?.to),
  pepper_id: redigest?.pepperId ?? null,
});
