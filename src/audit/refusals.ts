/**
 * Who was refused: callers whose token is none or lacks a right, as PCI DSS 10.2.1.4 asks. Summed up a minute at a time, in a bounded number of
 * events of administration, since anybody can be refused as often as they like.
 */

import type { Knex } from 'knex';
import { type AdminEvent, mutate } from '../db/mutate.ts';
import type { FailureCode } from '../errors.ts';
import type { Log } from '../log.ts';
import { every } from '../loop.ts';

export interface Refused {
  /** The id of the caller; undefined where the token is none of a caller. */
  readonly caller: string | undefined;
  /** The client's, by which those without a caller are named. */
  readonly address: string;
  readonly code: FailureCode;
  /** The path of the route; undefined: there is none. */
  readonly route: string | undefined;
}

export interface Refusals {
  readonly note: (refused: Refused) => void;
  /** Writes what was noted. It is left for the next time where that fails. */
  readonly write: () => Promise<void>;
  /** Writes the last ones, and stops. */
  readonly close: () => Promise<void>;
}

interface Subject {
  readonly kind: 'caller' | 'address';
  readonly id: string;
  /** By code and route. */
  readonly counts: Map<string, number>;
}

const INTERVAL_MS = 60_000;
/** Callers and addresses that a summary names, each in an event of its own; all further ones are one event. */
const MOST_NAMED = 20;
/** No address and no caller is written like this. */
const OTHERS = '*';
/** Milliseconds that a statement may take. Short, because the end of the process waits for the last summary. */
const LIMIT_MS = 5000;
/** Of the service itself: who was refused is the subject. */
const ACTOR = { id: 'authz' };

export function createRefusals(db: Knex, log: Log): Refusals {
  const subjects = new Map<string, Subject>();
  let since = performance.now();

  const add = (kind: Subject['kind'], id: string, counted: string, count: number): void => {
    const named = subjects.has(`${kind} ${id}`) || subjects.size < MOST_NAMED;
    const name = named ? `${kind} ${id}` : OTHERS;
    const subject = subjects.get(name) ?? {
      kind: named ? kind : 'address',
      id: named ? id : OTHERS,
      counts: new Map(),
    };
    subjects.set(name, subject);
    subject.counts.set(counted, (subject.counts.get(counted) ?? 0) + count);
  };

  const write = async (): Promise<void> => {
    const [written, began] = [[...subjects.values()], since];
    subjects.clear();
    since = performance.now();
    if (written.length === 0) return;
    const seconds = Math.ceil((since - began) / 1000);
    const events = written.map((subject) => eventOf(subject, seconds));
    try {
      await mutate(db, ACTOR, async (trx) => {
        await trx.raw(`set local statement_timeout = ${LIMIT_MS}`);
        return { result: undefined, events, changes: [] };
      });
    } catch (error) {
      for (const { kind, id, counts } of written) for (const [counted, count] of counts) add(kind, id, counted, count);
      since = began;
      throw error;
    }
  };

  const onError = (error: unknown): void =>
    log.warn({ error }, 'who was refused could not be written to the events; the next summary includes it');
  const loop = every(INTERVAL_MS, write, { first: 'later', onError });
  return {
    note: ({ caller, address, code, route = 'none' }) => {
      const counted = `${code} ${route}`;
      if (caller === undefined) add('address', address, counted, 1);
      else add('caller', caller, counted, 1);
    },
    write: loop.now,
    close: async () => {
      await loop.close();
      await write().catch(onError);
    },
  };
}

const eventOf = ({ kind, id, counts }: Subject, seconds: number): AdminEvent => ({
  action: 'access.refused',
  kind,
  id,
  after: {
    seconds,
    refused: [...counts].map(([counted, count]) => {
      const [code, route] = counted.split(' ');
      return { code, route, count };
    }),
  },
});
