/** Services that ask about keys, and operators who take their access away, both by way of a fleet; and what must be true of every answer. */

import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import type { Knex } from 'knex';
import { createToken, type Pepper } from '../../src/credentials/token.ts';
import { eventually } from '../http/process.ts';
import { keyColumns } from '../support/service.ts';
import type { Fleet, Replica } from './fleet.ts';

/** Milliseconds between two questions, and between two changes. */
const ASK_MS = 30;
const CHANGE_MS = 150;
/** No process allows a question that it gets so many milliseconds after the reply to a revocation, or later. */
const HOLDS_MS = 1000;
/** Keys that questions are about: so many of those that lost their access last, and as many that lose it next. */
const NEAR = 6;
const SUBJECTS = 1000;

interface Subject {
  readonly n: number;
  readonly apiKey: string;
  /** Monotonic milliseconds before the request that takes its access away, and after its reply; who answered it. */
  endingAt: number;
  endedAt: number;
  endedBy: Replica | undefined;
}

type Change = (n: number) => readonly [method: string, path: string, body: object];

/** Ways to take access away: one after the other. */
const CHANGES: readonly Change[] = [
  (n) => ['POST', `/keys/k-${n}/revoke`, {}],
  (n) => ['POST', '/freezes', { businessId: `b-${n}`, forSeconds: 3600, reason: 'An incident.' }],
  (n) => ['PUT', `/users/u-${n}`, { disabled: true }],
];

export interface Load {
  /** Resolves once a question that came to a replica of `asked` was denied because of each kind of change made by one of `changed`. */
  readonly honoured: (asked: string, changed: string) => Promise<void>;
  /** Ids of all decisions that were answered. */
  readonly answered: ReadonlySet<string>;
  /** What must not have been, so far: empty. */
  readonly faults: readonly string[];
  readonly stop: () => Promise<void>;
}

export async function startLoad(db: Knex, pepper: Pepper, fleet: Fleet): Promise<Load> {
  const subjects = await insert(db, pepper);
  const answered = new Set<string>();
  const faults: string[] = [];
  /** `asked changed kind`, of folders of versions. */
  const seen = new Set<string>();
  let ended = 0;
  let questions = 0;
  let stopped = false;

  const ask = async (): Promise<void> => {
    questions += 1;
    const subject = subjects[Math.max(0, ended - NEAR + (questions % (2 * NEAR)))] as Subject;
    const { n, apiKey } = subject;
    const replica = fleet.next();
    const startedAt = performance.now();
    const { status, body } = await fleet.send(replica, 'POST', '/authorize', {
      apiKey,
      action: 'call:create',
      businessId: `b-${n}`,
    });
    const say = (what: string): void =>
      void faults.push(`${what} by ${replica.root}: ${status} ${JSON.stringify(body)}`);
    if (status !== 200) return say(`no answer about ${n}`);
    answered.add(body.Data?.decisionId ?? '');
    if (body.Success === true) {
      if (startedAt >= subject.endedAt + HOLDS_MS)
        say(`${n} is allowed, which ended ${startedAt - subject.endedAt} ms before`);
    } else if (performance.now() < subject.endingAt) say(`${n} is denied, which has access`);
    else if (subject.endedBy) seen.add(`${replica.root} ${subject.endedBy.root} ${n % CHANGES.length}`);
  };

  const change = async (): Promise<void> => {
    const subject = subjects[ended] as Subject;
    const replica = fleet.next();
    const [method, path, body] = (CHANGES[subject.n % CHANGES.length] as Change)(subject.n);
    subject.endingAt = performance.now();
    const answer = await fleet.send(replica, method, path, body);
    if (answer.status < 200 || answer.status > 204)
      faults.push(`${method} ${path} by ${replica.root}: ${JSON.stringify(answer)}`);
    subject.endedAt = performance.now();
    subject.endedBy = replica;
    ended += 1;
  };

  const underWay = new Set<Promise<void>>();
  const asking = setInterval(() => {
    const asked = ask().finally(() => underWay.delete(asked));
    underWay.add(asked);
  }, ASK_MS);
  const changing = (async () => {
    while (!stopped && ended < SUBJECTS - 2 * NEAR) {
      await change();
      await sleep(CHANGE_MS);
    }
  })();

  return {
    answered,
    faults,
    honoured: (asked, changed) =>
      eventually(() => {
        expect(faults.slice(0, 5)).to.deep.equal([]);
        return CHANGES.every((_, kind) => seen.has(`${asked} ${changed} ${kind}`));
      }).then(() => undefined),
    stop: async () => {
      stopped = true;
      await changing;
      clearInterval(asking);
      await Promise.all(underWay);
    },
  };
}

/** Users with a business and a key each. */
async function insert(db: Knex, pepper: Pepper): Promise<readonly Subject[]> {
  const subjects = Array.from(
    { length: SUBJECTS },
    (_, n): Subject => ({
      n,
      apiKey: createToken('apiKey'),
      endingAt: Number.POSITIVE_INFINITY,
      endedAt: Number.POSITIVE_INFINITY,
      endedBy: undefined,
    }),
  );
  await db.raw(
    `insert into users (id) select 'u-' || n from generate_series(0, ${SUBJECTS - 1}) n;
     insert into businesses (id) select 'b-' || n from generate_series(0, ${SUBJECTS - 1}) n;
     insert into business_members (business_id, user_id, role) select 'b-' || n, 'u-' || n, 'owner' from generate_series(0, ${SUBJECTS - 1}) n`,
  );
  const keys = subjects.map(({ n, apiKey }) => ({
    id: `k-${n}`,
    user_id: `u-${n}`,
    ...keyColumns(pepper, apiKey),
  }));
  await db.batchInsert('api_keys', keys);
  return subjects;
}
