/**
 * Follows the change feed, so that caches are invalidated within a second of any commit. It polls the table `changes` on the
 * primary every 250 ms; a NOTIFY only makes the next poll come sooner, so lost notifications lose nothing.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { CLOCK } from '../db/clock.ts';
import { type ListenConnection, openListenConnection } from '../db/listen-connection.ts';
import { CHANGES_CHANNEL, type Change } from '../db/mutate.ts';
import { breaks, NEWEST_MIGRATION, UPGRADE_FIRST } from '../db/schema.ts';
import type { Log } from '../log.ts';
import { every } from '../loop.ts';
import { counter, gauge, type Metric } from '../metric.ts';
import type { Freshness } from './freshness.ts';

export interface Changes {
  /**
   * Resolves when a poll has ended, well or not, that was sent after this call: whoever must know of a change that was made elsewhere a
   * moment ago then asks `freshness`. All who wait share one poll, and one comes at most every 100 ms, so that nobody can cause many.
   */
  readonly catchUp: () => Promise<void>;
  /** Whether, as of the last poll, the database was migrated past this version, so that nothing that is read from it can be relied on. */
  readonly outdated: () => boolean;
  readonly stats: () => ChangesStats;
  readonly close: () => Promise<void>;
}

export interface ChangesStats {
  /** Milliseconds since a poll last confirmed that no change is missing; Infinity before the first. */
  readonly stalenessMs: number;
  /** Milliseconds between the last change taking its number and its being applied here. */
  readonly lagMs: number;
  /** The number up to which every change is applied. */
  readonly applied: number | undefined;
  readonly flushes: number;
  readonly polls: number;
  readonly failedPolls: number;
}

const POLL_MS = 250;
/** The least time between two polls that are sent ahead of it for `catchUp`. */
const CATCH_UP_MS = 100;
/** A slower poll is useless: what it confirms has expired when it arrives (CONFIRMED_MS). */
const LIMIT_MS = 1000;
/** Changes that one poll reads. A process that is further behind flushes its cache instead. */
const MAX_CHANGES = 5000;
/** By how much the database's clock must differ from what it was expected to say to have been set; small corrections are slewed. */
const STEP_MS = 5000;
/** Polls in a row with changes that no notification announced, after which a warning is logged. */
const UNANNOUNCED = 3;

const CLOCK_SET =
  'the clock of the database was set: decisions and checkpoints go by it from here on; authz audit verify says where it went back';

const OUTDATED = `the database was migrated past this version: nothing is answered from here on but 503. ${UPGRADE_FIRST}`;

/** The server's id and WAL timeline. Where a role may not call these functions, each connection counts as a new history. */
const IDENTIFY = `
  select (select system_identifier from pg_control_system())::text || '/' ||
    left(pg_walfile_name(pg_current_wal_lsn()), 8) as history`;

// One statement, so one snapshot.
const POLL = `
  select c.last::float8 as last, pg_is_in_recovery() as standby,
    ${CLOCK} as clock,
    (select max(breaking) from knex_migrations) as breaking,
    (select min(at)::text from changes where seq = $1::bigint) as anchor,
    (select min(at)::text from changes where seq = c.last) as newest,
    (select extract(epoch from clock_timestamp() - min(at))::float8 * 1000 from changes where seq = c.last) as age,
    (select coalesce(json_agg(n), '[]') from (
      select seq, kind, id, encode(digest, 'hex') as digest from changes where seq > $1::bigint order by seq limit ${MAX_CHANGES}
    ) n) as changes
  from change_counter c`;

interface PollRow {
  readonly last: number;
  readonly standby: boolean;
  readonly clock: number;
  /** The mark of the migrations that breaks most versions; null: none breaks any. */
  readonly breaking: string | null;
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

/**
 * Keeps `freshness` confirmed from the primary at `url`, until it is closed. Of a series of failures the first is logged.
 * `onClockStep` is called when the database's clock was set: not behind what it said, but behind what it should say, or ahead of it.
 * Longer than a screen, because connection, polls and notifications share one state.
 */
export function followChanges(
  url: string,
  freshness: Freshness,
  log: Log,
  onClockStep: () => void = () => undefined,
): Changes {
  const counts = { lagMs: 0, flushes: 0, polls: 0, failedPolls: 0 };
  let announced = 0;
  let unannounced = 0;
  let warned = false;
  let links = 0;
  let failing = false;
  let link: Link | undefined;
  let outdated = false;

  const warnOfNotifications = (reason: object): void => {
    if (!warned)
      log.warn(
        reason,
        'no NOTIFY of changes arrives (a pooler in DATABASE_URL? DATABASE_DIRECT_URL may go past it); changes are found by ' +
          'polling alone, every 250 ms',
      );
    warned = true;
  };

  const noteMigrations = (breaking: string | null): void => {
    const is = breaks(breaking);
    if (is !== outdated) {
      if (is) log.error({ needed: breaking, newest: NEWEST_MIGRATION }, OUTDATED);
      else log.warn('the database is again one that this version can serve');
    }
    outdated = is;
  };

  const connect = async (): Promise<Link> => {
    const connection = await openListenConnection({
      url,
      name: 'iqra-authz changes',
      limitMs: LIMIT_MS,
      onNotification: (payload) => {
        announced = Math.max(announced, Number(payload) || 0);
        if (announced > (freshness.position() ?? 0)) loop.wake();
      },
      onEnd: () => {
        if (!failing) loop.wake();
      },
    });
    links += 1;
    if (connection.pooled) warnOfNotifications({});
    // It may be forbidden. If the connection was lost instead, the poll that follows fails.
    else await connection.query(`listen ${CHANGES_CHANNEL}`).catch((error: unknown) => warnOfNotifications({ error }));
    const identified = connection.query<{ history: string }>(IDENTIFY);
    const [row] = await identified.catch(() => []);
    return { connection, history: row?.history ?? `connection ${links}` };
  };

  const poll = async ({ connection, history }: Link): Promise<void> => {
    counts.polls += 1;
    const after = freshness.position();
    const sentAt = performance.now();
    const [row] = await connection.query<PollRow>(POLL, [after ?? null]);
    if (!row) throw new Error('the table change_counter is empty');
    if (row.standby !== false) throw new Error('the server is a standby; DATABASE_URL must name the primary');
    if (after !== undefined && row.last > after) {
      // The notification of the newest change may still be on its way, but those of earlier ones must have arrived.
      unannounced = announced < after ? unannounced + 1 : 0;
      if (unannounced === UNANNOUNCED) warnOfNotifications({ last: row.last });
    }
    // The limit may cut a number's rows in two, and then it would count as complete: pass none, which is a gap.
    const changes = row.changes.length < MAX_CHANGES ? row.changes.map(changeOf) : [];
    noteMigrations(row.breaking);
    const expected = freshness.clock();
    const flushed = freshness.applyPoll({ ...row, after, sentAt, receivedAt: performance.now(), history, changes });
    if (row.last !== after) counts.lagMs = row.age ?? 0;
    const ahead = row.clock - expected.latest;
    const behind = expected.earliest - (performance.now() - sentAt) - row.clock;
    if (ahead > STEP_MS || behind > STEP_MS) {
      log.warn({ milliseconds: Math.round(ahead > 0 ? ahead : -behind) }, CLOCK_SET);
      onClockStep();
    }
    if (!flushed) return;
    counts.flushes += 1;
    if (flushed !== 'start')
      log.info(
        { reason: flushed, last: row.last },
        'all cached facts were flushed; decisions read the database until they are cached again',
      );
  };

  const drop = (): void => {
    link?.connection.drop();
    link = undefined;
  };

  const follow = async (): Promise<void> => {
    link ??= await connect();
    await poll(link);
    if (failing) log.info('the change feed can be read again');
    failing = false;
  };

  const loop = every(POLL_MS, follow, {
    first: 'at once',
    onError: (error, { inARow, closing }) => {
      drop();
      counts.failedPolls += 1;
      failing = true;
      if (inARow > 1) return;
      if (!closing) log.warn({ error }, 'the change feed cannot be read; decisions read the database meanwhile');
      // Only the first time: a lost connection is replaced at once, a database that is down is tried at the usual pace.
      loop.wake();
    },
  });

  let caughtUpAt = Number.NEGATIVE_INFINITY;
  let caughtUp: Promise<void> | undefined;
  const sendAhead = async (): Promise<void> => {
    await sleep(Math.max(0, caughtUpAt + CATCH_UP_MS - performance.now()));
    // Whoever comes from here on waits for the next one: this poll may be sent before its question.
    caughtUp = undefined;
    const askedAt = performance.now();
    caughtUpAt = askedAt;
    await loop.now();
    // That was a run that had begun before.
    if (!freshness.confirmedSince(askedAt)) await loop.now();
  };

  return {
    catchUp: () => {
      caughtUp ??= sendAhead();
      return caughtUp;
    },
    outdated: () => outdated,
    stats: () => ({ stalenessMs: freshness.staleness(), applied: freshness.position(), ...counts }),
    close: async () => {
      const ended = loop.close();
      // Ends the poll under way. The run may still have connected anew meanwhile.
      drop();
      await ended;
      drop();
    },
  };
}

export const changeFeedMetrics = (stats: () => ChangesStats): Metric[] => [
  gauge(
    'staleness_milliseconds',
    'How long ago this process last proved that it is current.',
    () => stats().stalenessMs,
  ),
  gauge('change_feed_lag_milliseconds', 'How old the last change was when it was applied here.', () => stats().lagMs),
  counter('change_feed_failures_total', 'Times that the change feed could not be read.', () => stats().failedPolls),
  counter('cache_flushes_total', 'Times that everything cached was forgotten.', () => stats().flushes),
];
