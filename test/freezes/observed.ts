/**
 * What the clients of three processes see of freezes: subjects that are frozen and lifted, questions about them at a constant rate (an
 * open loop: also while a process does not answer), and all answers, to be judged when they are in.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { MOST_UNDER_WAY, type Subject, type World } from '../faults/revocation-world.ts';

/** Milliseconds between two questions, which go to the processes round-robin. */
const PACE_MS = 25;

export const PROCESSES = [0, 1, 2];
/** The second after the commit that the contract allows. */
export const BOUND_MS = 1000;

/** All times are those of the monotonic clock of the test, in milliseconds. */
export interface Freeze {
  readonly id: string;
  /** The process that it was made through. */
  readonly by: number;
  readonly sentAt: number;
  /** When its reply had come: later than its commit. */
  readonly repliedAt: number;
  /** When its lift was sent, which is earlier than its commit, and when the reply to that had come. */
  liftSentAt: number;
  liftedAt: number;
}

interface Answer {
  readonly process: number;
  readonly code: string;
  readonly startedAt: number;
  readonly endedAt: number;
}

export interface Observed {
  readonly subject: Subject;
  readonly freezes: Freeze[];
  readonly answers: Answer[];
}

export interface Observer {
  readonly all: readonly Observed[];
  /** Freezes it through a process, and asks each about it at once. */
  readonly freeze: (observed: Observed, by: number) => Promise<Freeze>;
  readonly lift: (freeze: Freeze, by: number) => Promise<void>;
  /** Sends no more questions to a process, or again. */
  readonly spare: (process: number, spared: boolean) => void;
  /** Waits until each process has answered so to a question that started after a time. Throws where one broke the promise meanwhile. */
  readonly seen: (observed: Observed, code: string, after: (process: number) => number) => Promise<void>;
  /** Ends the questions; resolves when all are answered. */
  readonly stop: () => Promise<void>;
}

/** What a freeze names: each covers the questions about its subject, and about no other. */
const SCOPES: readonly ((n: string) => object)[] = [
  (n) => ({ businessId: `b-${n}` }),
  (n) => ({ apiKeyId: `k-${n}` }),
  (n) => ({ userId: `u-${n}` }),
  (n) => ({ action: 'call:*', userId: `u-${n}` }),
  (n) => ({ action: 'call:create', apiKeyId: `k-${n}`, businessId: `b-${n}` }),
];

export async function observe(world: World, count: number): Promise<Observer> {
  const subjects = await world.subjects(count);
  const all = subjects.map((subject): Observed => ({ subject, freezes: [], answers: [] }));
  const underWay = PROCESSES.map(() => new Set<Promise<void>>());
  const spared = new Set<number>();
  let stopped = false;

  const ask = async (process: number, about: readonly Observed[]): Promise<void> => {
    const requests = about.map(({ subject: { apiKey, n } }) => ({
      apiKey,
      action: 'call:create',
      businessId: `b-${n}`,
    }));
    const startedAt = performance.now();
    const [one] = requests;
    const { status, text } = await (requests.length === 1
      ? world.call(process, 'POST', '/authorize', one)
      : world.call(process, 'POST', '/authorize/batch', { requests }));
    const endedAt = performance.now();
    // A failure: no allow.
    if (status !== 200) return;
    const body = JSON.parse(text) as { Code: string; Data: { decisions?: { Code: string }[] } };
    for (const [index, { Code: code }] of (body.Data.decisions ?? [body]).entries())
      about[index]?.answers.push({ process, code, startedAt, endedAt });
  };
  const begin = (process: number, about: readonly Observed[]): void => {
    const asked = ask(process, about);
    underWay[process]?.add(asked);
    void asked.finally(() => underWay[process]?.delete(asked));
  };
  const pace = (async () => {
    for (let tick = 0; !stopped; tick += 1) {
      const process = tick % PROCESSES.length;
      const one = all[tick % all.length];
      // By turns all in one batch and one alone, which is answered by other code.
      const isFree = !spared.has(process) && (underWay[process]?.size ?? 0) < MOST_UNDER_WAY;
      if (isFree) begin(process, tick % 2 === 0 || !one ? all : [one]);
      await sleep(PACE_MS);
    }
  })();

  return {
    all,
    spare: (process, isSpared) => void (isSpared ? spared.add(process) : spared.delete(process)),
    freeze: async (observed, by) => {
      const scope = SCOPES[observed.freezes.length % SCOPES.length]?.(observed.subject.n);
      const sentAt = performance.now();
      const { status, text } = await world.call(by, 'POST', '/freezes', {
        ...scope,
        forSeconds: 3600,
        reason: 'A test.',
      });
      const repliedAt = performance.now();
      expect(status, text).to.equal(201);
      const { id } = (JSON.parse(text) as { Data: { id: string } }).Data;
      const freeze = {
        id,
        by,
        sentAt,
        repliedAt,
        liftSentAt: Number.POSITIVE_INFINITY,
        liftedAt: Number.POSITIVE_INFINITY,
      };
      observed.freezes.push(freeze);
      for (const process of PROCESSES) if (!spared.has(process)) begin(process, [observed]);
      return freeze;
    },
    lift: async (freeze, by) => {
      freeze.liftSentAt = performance.now();
      const { status, text } = await world.call(by, 'DELETE', `/freezes/${freeze.id}`);
      freeze.liftedAt = performance.now();
      expect(status, text).to.equal(204);
    },
    seen: async (observed, code, after) => {
      const missing = new Set(PROCESSES);
      for (let from = 0; missing.size > 0; await sleep(PACE_MS)) {
        const answers = observed.answers.slice(from);
        from += answers.length;
        const broken = allowsOf(observed, answers);
        if (broken.length > 0) throw new Error(broken.join('\n'));
        for (const answer of answers)
          if (answer.code === code && answer.startedAt > after(answer.process)) missing.delete(answer.process);
      }
    },
    stop: async () => {
      stopped = true;
      await pace;
      await Promise.all(underWay.flatMap((set) => [...set]));
    },
  };
}

/** From when on a process may allow no question about a subject of the freeze: in the one that made it, from its reply on. */
export const bound = ({ by, repliedAt }: Freeze, process: number): number =>
  process === by ? repliedAt : repliedAt + BOUND_MS;

/**
 * The allows, of `answers`, that broke the promise, at any speed of the machine: all that is compared are times before a request was sent and
 * after its reply had come, so that the freeze was in force all the while. The commit of a freeze is earlier than its reply: an allow
 * that started a second after the latter started more than a second after the former.
 */
function allowsOf({ subject: { n }, freezes }: Observed, answers: readonly Answer[]): string[] {
  return answers.flatMap(({ process, code, startedAt, endedAt }) =>
    freezes
      .filter((freeze) => code === 'OK' && startedAt > bound(freeze, process) && endedAt < freeze.liftSentAt)
      .map(
        ({ by, repliedAt }) =>
          `${n} was allowed in process ${process} ${(startedAt - repliedAt).toFixed()} ms after the reply of ${by}`,
      ),
  );
}

/** All answers that were wrong: allows under a freeze, and denials with no freeze in force, or by another code. */
export function faultsOf(observed: Observed): string[] {
  const { subject, freezes, answers } = observed;
  const denied = answers.filter(({ code, startedAt, endedAt }) => {
    const mayBeFrozen = freezes.some(({ sentAt, liftedAt }) => sentAt < endedAt && startedAt < liftedAt + BOUND_MS);
    return code !== 'OK' && !(code === 'FROZEN' && mayBeFrozen);
  });
  const why = ({ code, process }: Answer): string => `${subject.n} was denied with ${code} in process ${process}`;
  return [...allowsOf(observed, answers), ...denied.map(why)];
}

/** How long after the reply of a freeze the last allow started in each of the other processes, in milliseconds. */
export const latenessOf = ({ freezes, answers }: Observed): number[] =>
  freezes.flatMap(({ by, repliedAt, liftSentAt }) =>
    PROCESSES.filter((process) => process !== by).flatMap((process) => {
      const last = answers.findLast((one) => one.process === process && one.code === 'OK' && one.endedAt < liftSentAt);
      return last ? [Math.max(0, last.startedAt - repliedAt)] : [];
    }),
  );
