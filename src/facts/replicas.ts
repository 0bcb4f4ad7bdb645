/** Says in the table `replicas` how far this process has read the change feed, and prunes what nobody reads any more. */

import type { Knex } from 'knex';
import { v7 as uuidv7 } from 'uuid';
import { VERSION } from '../config.ts';
import type { Log } from '../log.ts';
import type { Currency } from './currency.ts';

const REPORT_MS = 5000;
/** Reports between two prunings. */
const PRUNE_EVERY = 12;

const REPORT = `
  insert into replicas (id, version, last_applied) values (?, ?, ?)
  on conflict (id) do update set seen_at = now(), last_applied = excluded.last_applied`;

// Whole numbers only, from the oldest, and never the last: what is left has no gap, and the last tells whose history it is.
// Whoever is behind the oldest forgets everything.
const PRUNE = `
  delete from changes where seq <= (
    select max(seq) from (
      select seq from changes
      where at < now() - interval '1 hour' and seq < (select last from change_counter) order by seq limit 10000
    ) old)`;

const FORGET = `delete from replicas where seen_at < now() - interval '1 hour'`;

/** Reports every few seconds over `db` until it is closed. */
export function reportReplica(
  db: Knex,
  currency: Pick<Currency, 'position'>,
  log: Log,
  intervalMs = REPORT_MS,
): { readonly close: () => void } {
  const id = uuidv7();
  let reports = 0;
  let silent = false;

  const report = async (): Promise<void> => {
    reports += 1;
    try {
      await db.raw(REPORT, [id, VERSION, currency.position() ?? null]);
      if (reports % PRUNE_EVERY === 0) {
        await db.raw(PRUNE);
        await db.raw(FORGET);
      }
      silent = false;
    } catch (error) {
      if (!silent) log.warn({ error }, 'this replica cannot report to the database');
      silent = true;
    }
  };
  const timer = setInterval(report, intervalMs).unref();

  return {
    // What is under way ends with its connection; nobody waits for it.
    close: () => {
      clearInterval(timer);
      silent = true;
    },
  };
}
