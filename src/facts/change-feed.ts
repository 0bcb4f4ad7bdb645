/**
 * Follows the change feed, so that what this process believes is what is committed. The feed is the truth: it is polled on
 * the primary every 250 ms whatever happens. A notification only makes the next poll come at once.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { type ListenConnection, openListenConnection } from '../db/listen-connection.ts';
import { CHANGES_CHANNEL, type Change } from '../db/mutate.ts';
import type { Log } from '../log.ts';
import type { Currency } from './freshness.ts';

export interface Changes {
  readonly stats: () => ChangesStats;
  readonly close: () => Promise<void>;
}

export interface ChangesStats {
  /** Milliseconds since it was last confirmed that nothing is missing; Infinity when it never was. */
  readonly stalenessMs: number;
  /** Milliseconds between the last change's number being taken and its being applied here. */
  readonly lagMs: number;
  /** The last change that is applied together with all before it. */
  readonly applied: number | undefined;
  readonly flushes: number;
  readonly failedPolls: number;
}

const POLL_MS = 250;
/** A poll that takes longer than what it says may be believed for is of no use. */
const LIMIT_MS = 1000;
/** Changes that are read at once. Whoever is further behind forgets everything. */
const MOST = 5000;
/** Changes in a row that no notification has announced, after which it is said that none comes. */
const UNANNOUNCED = 3;

/** Fails where functions about the log of the server are not to be had; then each connection counts as another history. */
const IDENTIFY = `
  select (select system_identifier from pg_control_system())::text || '/' ||
    left(pg_walfile_name(pg_current_wal_lsn()), 8) as history`;

// One statement, so one snapshot.
const POLL = `
  select c.last::float8 as last, pg_is_in_recovery() as standby,
    extract(epoch from clock_timestamp())::float8 * 1000 as clock,
    (select min(at)::text from changes where seq = $1::bigint) as anchor,
    (select min(at)::text from changes where seq = c.last) as newest,
    (select extract(epoch from clock_timestamp() - min(at))::float8 * 1000 from changes where seq = c.last) as age,
    (select coalesce(json_agg(n), '[]') from (
      select seq, kind, id, encode(digest, 'hex') as digest from changes where seq > $1::bigint order by seq limit ${MOST}
    ) n) as changes
  from change_counter c`;

interface PollRow {
  readonly last: number;
  readonly standby: boolean;
  readonly clock: number;
  readonly anchor: string | null;
  readonly newest: string | null;
  readonly age: number | null;
  readonly changes: readonly { seq: number; kind: Change['kind']; id: string; digest: string | null }[];
}

const changeOf = ({ seq, kind, id, digest }: PollRow['changes'][number]) => ({
  seq,
  kind,
  id,
  digest: digest === null ? undefined : Buffer.from(digest, 'hex'),
});

interface Link {
  readonly connection: ListenConnection;
  readonly history: string;
}

/** Keeps `currency` confirmed from the primary at `url`, until it is closed. Failures are logged once a series. */
export function followChanges(url: string, currency: Currency, log: Log): Changes {
  const counts = { lagMs: 0, flushes: 0, failedPolls: 0 };
  let announced = 0;
  let unannounced = 0;
  let saidSo = false;
  let links = 0;
  let failing = false;
  let closed = false;
  let link: Link | undefined;
  /** Ends the pause before the next poll. */
  let wake = new AbortController();

  const tellOfNotifications = (reason: object): void => {
    if (!saidSo)
      log.warn(reason, 'no notification of changes comes through; they are found by polling alone, within 250 ms');
    saidSo = true;
  };

  const connect = async (): Promise<Link> => {
    const connection = await openListenConnection({
      url,
      name: 'iqra-authz changes',
      limitMs: LIMIT_MS,
      onNotification: (payload) => {
        announced = Math.max(announced, Number(payload) || 0);
        if (announced > (currency.position() ?? 0)) wake.abort();
      },
      onEnd: () => {
        if (!failing) wake.abort();
      },
    });
    links += 1;
    // Where the connection is lost meanwhile, the poll that follows says so.
    await connection.query(`listen ${CHANGES_CHANNEL}`).catch((error: unknown) => tellOfNotifications({ error }));
    const identified = connection.query<{ history: string }>(IDENTIFY);
    const [row] = await identified.catch(() => []);
    return { connection, history: row?.history ?? `connection ${links}` };
  };

  const poll = async ({ connection, history }: Link): Promise<void> => {
    const after = currency.position();
    const sentAt = performance.now();
    const [row] = await connection.query<PollRow>(POLL, [after ?? null]);
    if (!row) throw new Error('the database has no counter of changes');
    if (row.standby !== false) throw new Error('the server is not the primary');
    if (after !== undefined && row.last > after) {
      // A notification of the last change may arrive with this answer, one of those before must have.
      unannounced = announced < after ? unannounced + 1 : 0;
      if (unannounced === UNANNOUNCED) tellOfNotifications({ last: row.last });
    }
    // Cut off in the middle of a number, they would look complete.
    const changes = row.changes.length < MOST ? row.changes.map(changeOf) : [];
    const flushed = currency.polled({ ...row, after, sentAt, receivedAt: performance.now(), history, changes });
    if (row.last !== after) counts.lagMs = row.age ?? 0;
    if (!flushed) return;
    counts.flushes += 1;
    if (flushed !== 'start') log.info({ reason: flushed, last: row.last }, 'all cached facts are forgotten');
  };

  const drop = (): void => {
    link?.connection.drop();
    link = undefined;
  };

  /** Whether it was done; a failure is logged, and the connection with it given up. */
  const attempt = async (): Promise<boolean> => {
    try {
      link ??= await connect();
      await poll(link);
      if (failing) log.info('the change feed is read again');
      failing = false;
      return true;
    } catch (error) {
      drop();
      counts.failedPolls += 1;
      if (!failing && !closed)
        log.warn({ error }, 'the change feed cannot be read; decisions read the database meanwhile');
      failing = true;
      return false;
    }
  };

  const follow = async (): Promise<void> => {
    for (let failures = 0; !closed; ) {
      const startedAt = performance.now();
      wake = new AbortController();
      failures = (await attempt()) ? 0 : failures + 1;
      // A connection that was lost is replaced at once, and then as often as anything else is tried.
      if (failures === 1) continue;
      const rest = Math.max(0, startedAt + POLL_MS - performance.now());
      await sleep(rest, undefined, { signal: wake.signal, ref: false }).catch(() => undefined);
    }
  };
  const following = follow();

  return {
    stats: () => ({ stalenessMs: currency.staleness(), applied: currency.position(), ...counts }),
    close: async () => {
      closed = true;
      wake.abort();
      drop();
      await following;
      drop();
    },
  };
}
