/**
 * The pools of a process share what connections PostgreSQL allows it, by `connection limit` of the role or the database, or
 * max_connections. Where that is met and one pool needs another connection, the others give back their idle ones.
 */

import { setTimeout as sleep } from 'node:timers/promises';

/** SQLSTATE too_many_connections: of the role, the database or the server. */
const TOO_MANY = '53300';
/** Milliseconds for which a pool waits for what another one gives back, less than a pool lets a connection take; and how often it asks. */
const WAIT_MS = 1500;
const PAUSE_MS = 200;

/** A set for the whole process, since the limit is one for the whole process, too. */
const sharers = new Set<() => void>();

export interface Share {
  /** Runs `connect`, again while there are too many connections. Meanwhile whoever waits gets the next free one of the pool. */
  readonly open: <T>(connect: () => Promise<T>) => Promise<T>;
  /** The error of PostgreSQL, while a connection is lacking. */
  readonly lacking: () => unknown;
  readonly leave: () => void;
}

/** `giveBack` closes the idle connections of the pool that joins. */
export function joinShare(giveBack: () => void): Share {
  sharers.add(giveBack);
  let lacking: unknown;
  return {
    open: async (connect) => {
      const giveUpAt = performance.now() + WAIT_MS;
      for (;;) {
        try {
          const connection = await connect();
          lacking = undefined;
          return connection;
        } catch (error) {
          if ((error as { code?: string }).code !== TOO_MANY || performance.now() > giveUpAt) throw error;
          lacking = error;
          for (const give of sharers) if (give !== giveBack) give();
          // Not so often that the server is busy refusing.
          await sleep(PAUSE_MS);
        }
      }
    },
    lacking: () => lacking,
    leave: () => void sharers.delete(giveBack),
  };
}
