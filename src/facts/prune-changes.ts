/** Prunes the change feed of what nobody reads any more. */

import type { Knex } from 'knex';
import type { Log } from '../log.ts';

const INTERVAL_MS = 60_000;

// Whole numbers only, from the oldest, and never the last: what is left has no gap, and the last tells whose history it is.
// Whoever is behind the oldest forgets everything.
const PRUNE = `
  delete from changes where seq <= (
    select max(seq) from (
      select seq from changes
      where at < now() - interval '1 hour' and seq < (select last from change_counter) order by seq limit 10000
    ) old)`;

/** Prunes every minute over `db` until it is closed; what fails is logged, and tried again. */
export function pruneChanges(db: Knex, log: Log, intervalMs = INTERVAL_MS): { readonly close: () => void } {
  const prune = (): void =>
    void db.raw(PRUNE).then(undefined, (error: unknown) => log.warn({ error }, 'the change feed could not be pruned'));
  const timer = setInterval(prune, intervalMs).unref();
  return { close: () => clearInterval(timer) };
}
