/**
 * When keys were last used, written in batches: never a write for a request, and at most a minute behind. Keys that were
 * found under an older pepper are digested anew on the way, which only a key in clear allows.
 */

import type { Knex } from 'knex';
import type { Redigest } from '../credentials/token.ts';
import type { Log } from '../log.ts';

export interface Use {
  readonly keyId: string;
  /** Milliseconds. */
  readonly at: number;
  /** For a key under an older pepper. */
  readonly redigest?: Redigest | undefined;
}

export interface Usage {
  readonly note: (use: Use) => void;
  /** Writes what is noted, and stops. */
  readonly close: () => Promise<void>;
}

/** Twice as often as it must be, so that a key that was locked once is still in time. */
const INTERVAL_MS = 20_000;
const CHUNK = 5000;

// Selects the keys that others have locked: nothing waits for this, so it waits for nobody. One that is gone is no loss.
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

export function createUsage(db: Knex, log: Log, intervalMs = INTERVAL_MS): Usage {
  const noted = new Map<string, Use>();

  const flush = async (): Promise<void> => {
    const uses = [...noted.values()];
    for (let start = 0; start < uses.length; start += CHUNK) {
      const chunk = uses.slice(start, start + CHUNK);
      const { rows } = await db.raw<{ rows: { id: string }[] }>(WRITE, [JSON.stringify(chunk.map(rowOf))]);
      const locked = new Set(rows.map((row) => row.id));
      // What is locked, or was used again meanwhile, is for the next round; so is all that a failure leaves.
      for (const use of chunk) if (noted.get(use.keyId) === use && !locked.has(use.keyId)) noted.delete(use.keyId);
    }
  };
  const tryFlush = (): Promise<void> =>
    flush().catch((error: unknown) => log.warn({ error }, 'the last use of keys could not be written'));
  const timer = setInterval(tryFlush, intervalMs).unref();

  return {
    note: (use) => void noted.set(use.keyId, { ...use, redigest: use.redigest ?? noted.get(use.keyId)?.redigest }),
    close: () => {
      clearInterval(timer);
      return tryFlush();
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
