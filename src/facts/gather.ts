/**
 * Reads for one turn of the event loop as one statement: what a statement costs is mostly the same however many keys it asks
 * for. While statements are under way, what is asked next waits for the first of them to return, and goes out together then.
 */

import type { Deadline } from '../deadline.ts';

/** What a statement found: an answer for each who asked, in their order, which may be a failure of that one alone. */
export type Answers<R> = readonly (() => R)[];

interface Waiting<A, R> {
  readonly asked: readonly A[];
  readonly deadline: Deadline;
  readonly resolve: (answer: R) => void;
  readonly reject: (error: unknown) => void;
}

/** Statements under way, beyond which what is asked waits: two, so that one is at work while the other's rows are read. */
const UNDER_WAY = 2;
/** Milliseconds after which it waits no longer: a connection that hangs must not hold up those who could use another. */
const PATIENCE_MS = 10;
/** How many things one statement asks for, unless one alone asks for more. */
const MOST = 200;

/**
 * `send` sends one statement for all that it is given; `isWanted` says whether anybody still waits for its answer, and is for when a
 * connection is there; `waiting` is who does. The promise of each is settled as its own answer is, or rejects as the statement did.
 */
export function gathering<A, R>(
  send: (
    asked: readonly (readonly A[])[],
    isWanted: () => boolean,
    waiting: readonly { readonly deadline: Deadline }[],
  ) => Promise<Answers<R>>,
  patienceMs = PATIENCE_MS,
): (asked: readonly A[], deadline: Deadline) => Promise<R> {
  const waiting: Waiting<A, R>[] = [];
  let underWay = 0;
  let scheduled = false;
  let impatience: NodeJS.Timeout | undefined;

  const sendNext = async (): Promise<void> => {
    const those = takeFrom(waiting).filter(isLive);
    if (those.length === 0) return;
    underWay += 1;
    try {
      const answers = await send(
        those.map(({ asked }) => asked),
        () => those.some(isLive),
        those,
      );
      for (const [place, { resolve, reject }] of those.entries()) {
        try {
          const answer = answers[place];
          if (!answer) throw new Error('a statement answered fewer than were asked for');
          resolve(answer());
        } catch (error) {
          reject(error);
        }
      }
    } catch (error) {
      for (const { reject } of those) reject(error);
    } finally {
      underWay -= 1;
      sendAll();
    }
  };

  const sendAll = (): void => {
    while (waiting.length > 0 && underWay < UNDER_WAY) void sendNext();
    if (waiting.length === 0 || impatience) return;
    impatience = setTimeout(() => {
      impatience = undefined;
      if (waiting.length > 0) void sendNext();
      sendAll();
    }, patienceMs);
  };

  return (asked, deadline) =>
    new Promise((resolve, reject) => {
      waiting.push({ asked, deadline, resolve, reject });
      if (scheduled) return;
      scheduled = true;
      setImmediate(() => {
        scheduled = false;
        sendAll();
      });
    });
}

/** Removes what the next statement asks for: from the first on, in their order. */
function takeFrom<A, R>(waiting: Waiting<A, R>[]): Waiting<A, R>[] {
  let count = 0;
  const end = waiting.findIndex(({ asked }, place) => {
    count += asked.length;
    return place > 0 && count > MOST;
  });
  return waiting.splice(0, end === -1 ? waiting.length : end);
}

/** Whether the deadline is still to come. Who waits past it has been told so by whoever races with it, and is rejected here too. */
function isLive({ deadline, reject }: Pick<Waiting<unknown, unknown>, 'deadline' | 'reject'>): boolean {
  try {
    deadline.check();
    return true;
  } catch (error) {
    reject(error);
    return false;
  }
}
