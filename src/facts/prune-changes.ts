/** Deletes changes that are older than an hour from the change feed. */

import type { Knex } from 'knex';
import type { Log } from '../log.ts';
import { every } from '../loop.ts';

const INTERVAL_MS = 60_000;

// From the oldest and by whole sequence numbers (one may have several rows), so what is left has no gap; never the last one,
// whose time identifies the history. A process that is further behind finds a gap and flushes its cache.
const PRUNE = `
  delete from changes where seq <= (
    select max(seq) from (
      select seq from changes
      where at < now() - interval '1 hour' and seq < (select last from change_counter) order by seq limit 10000
    ) old)`;

/** Prunes over `db` every `intervalMs`, a minute by default. A failure is logged; the next run deletes what it left. */
export function pruneChanges(db: Knex, log: Log, intervalMs = INTERVAL_MS): { readonly close: () => void } {
  const loop = every(intervalMs, () => db.raw(PRUNE), {
    first: 'later',
    onError: (error) =>
      log.warn({ error }, 'old changes could not be deleted from the change feed; tried again in a minute'),
  });
  return { close: loop.stop };
}
