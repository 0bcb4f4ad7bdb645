/**
 * Watches by itself: every few minutes one of the replicas looks for the findings of each kind, all of them export how many there are, and new
 * ones are told to a webhook. [ADR 30](../../docs/adr/0030-watching.md)
 */

import type { Knex } from 'knex';
import { NAMES } from '../key-hygiene/findings.ts';
import type { Thresholds } from '../key-hygiene/kind.ts';
import type { HygieneName } from '../key-hygiene/rules.ts';
import type { Log } from '../log.ts';
import { every } from '../loop.ts';
import { counter, gauge, type Metric } from '../metric.ts';
import type { Declaration } from '../policy/declared/declaration.ts';
import { cancel, lookFor, readState, type State, type Transaction } from './look.ts';
import { deliverNext, GIVE_UP_DAYS, makeMessages } from './messages.ts';
import { send, type Webhook } from './webhook.ts';

export interface Watch {
  /** A round: looks for what is due, and delivers. Resolves when it has ended, whether or not it failed. */
  readonly now: () => Promise<void>;
  readonly readings: () => Readings;
  /** Starts nothing more, and ends what is under way. */
  readonly close: () => Promise<void>;
}

interface Readings {
  /** Undefined: the database has not said for so long that it may be otherwise by now. */
  readonly known: State | undefined;
  /** Seconds since the kind was looked for; of one that never was, since this process began. */
  readonly ageOf: (kind: HygieneName) => number;
  readonly failedSends: number;
}

interface Options {
  /** Seconds between two looks for a kind. */
  readonly intervalSeconds: number;
  readonly thresholds: Thresholds;
  readonly webhook: Webhook | undefined;
  /** Of the live policy. */
  readonly declaration: () => Declaration;
}

/** Rounds of a replica in an interval, at least one a minute: so late is what a dead replica would have looked for. */
const ROUNDS = 5;
const LONGEST_ROUND_MS = 60_000;
/** Rounds without an answer of the database after which what is known counts for nothing. */
const STALE_ROUNDS = 5;
const CANCEL_LIMIT_MS = 1000;

/** The watch of a replica over `db`, of which it takes one connection at a time. It begins a round after its start. */
export async function createWatch(
  db: Knex,
  { intervalSeconds, thresholds, webhook, declaration }: Options,
  log: Log,
): Promise<Watch> {
  const roundMs = Math.min((intervalSeconds * 1000) / ROUNDS, LONGEST_ROUND_MS);
  let known: { readonly state: State; readonly at: number } = {
    state: { kinds: new Map(), waiting: 0 },
    at: performance.now(),
  };
  const startedAt = performance.now();
  let underWay: Transaction | undefined;
  let failedSends = 0;

  const read = async (): Promise<State> => {
    const state = await readState(db, intervalSeconds);
    known = { state, at: performance.now() };
    return state;
  };

  const look = async (ending: AbortSignal): Promise<void> => {
    const { kinds } = await read();
    for (const kind of NAMES.filter((name) => !kinds.get(name)?.rests)) {
      if (ending.aborted) return;
      const began = (transaction: Transaction): void => {
        underWay = transaction;
      };
      try {
        const looking = { intervalSeconds, thresholds, declaration: declaration(), began, ending };
        if ((await lookFor(db, kind, looking)) === 'taken') return;
      } catch (error) {
        if (!ending.aborted)
          log.warn({ error, kind }, 'a kind of findings could not be looked for; tried again after a rest');
      } finally {
        underWay = undefined;
      }
    }
  };

  const deliver = async (to: Webhook, ending: AbortSignal): Promise<void> => {
    await makeMessages(db);
    while (!ending.aborted) {
      const attempt = await deliverNext(db, (id, body) => send(to, id, body, ending));
      if (attempt === undefined) return;
      const { id, outcome, error } = attempt;
      if (outcome === 'delivered') continue;
      failedSends += 1;
      if (outcome === 'given up')
        log.error(
          { error, message: id },
          `a message of findings was not delivered in ${GIVE_UP_DAYS} days, and is given up`,
        );
      else if (!ending.aborted)
        log.warn({ error, message: id }, 'a message of findings was not delivered; it is sent again');
      // The receiver is down for the others, too.
      return;
    }
  };

  const round = async (ending: AbortSignal): Promise<void> => {
    await look(ending);
    if (webhook) await deliver(webhook, ending);
    await read();
  };
  const onError = (error: unknown, { inARow, closing }: { inARow: number; closing: boolean }): void => {
    if (inARow === 1 && !closing)
      log.warn({ error }, 'findings cannot be looked for; tried again every minute or more often');
  };
  await read().catch((error: unknown) => onError(error, { inARow: 1, closing: false }));
  const loop = every(roundMs, round, { first: 'later', onError });

  const since = (moment: number): number => (performance.now() - moment) / 1000;
  return {
    now: loop.now,
    readings: () => ({
      known: since(known.at) * 1000 > STALE_ROUNDS * roundMs + LONGEST_ROUND_MS ? undefined : known.state,
      ageOf: (kind) => {
        const age = known.state.kinds.get(kind)?.age;
        return age === undefined ? since(startedAt) : age + since(known.at);
      },
      failedSends,
    }),
    close: async () => {
      loop.stop();
      // Else the end of the process waits for it, up to statement_timeout.
      if (underWay) await cancel(db, underWay, CANCEL_LIMIT_MS).catch(() => undefined);
    },
  };
}

/** Undefined: nothing is watched. The same on all replicas, but for what each has read last, and for its failures. */
export const watchMetrics = (watch: Pick<Watch, 'readings'> | undefined): Metric[] => [
  gauge(
    'findings',
    'Findings when they were last looked for, by kind.',
    () => {
      const { known } = watch?.readings() ?? {};
      return known ? NAMES.map((name) => [known.kinds.get(name)?.found ?? 0, name]) : [];
    },
    ['kind'],
  ),
  gauge(
    'findings_age_seconds',
    'How long ago findings were looked for, by kind.',
    () => {
      const { ageOf } = watch?.readings() ?? {};
      return ageOf ? NAMES.map((name) => [ageOf(name), name]) : [];
    },
    ['kind'],
  ),
  gauge(
    'findings_messages_waiting',
    'Messages of new findings that the webhook has not taken.',
    () => watch?.readings().known?.waiting,
  ),
  counter(
    'findings_send_failures_total',
    'Messages of new findings that could not be delivered, each attempt.',
    () => watch?.readings().failedSends,
  ),
];
