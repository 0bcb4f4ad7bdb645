/** The invariants of every fault test: during the fault, and after it. */

import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { type Answered, type Outcome, POOL, type World } from './world.ts';

/** When a service counts as one that does not recover; the machine may be slow for a while. */
const RECOVERY_MS = 120_000;
/** So many questions at once use every connection; so many successes in a row are no coincidence. */
const ROUND = 20;
const ROUNDS = 3;
/** Connections besides the decisions' pool: of migrations, of the log, and of administration and the change feed. */
const SPARE = 6;

interface Body {
  readonly Success: boolean;
  readonly Code: string;
  readonly Message: string;
  readonly Data?: { readonly decisionId: string; readonly decisions?: readonly Body[] };
}

const FAILURES: readonly unknown[] = [
  [503, 'UNAVAILABLE', '1'],
  [504, 'DEADLINE_EXCEEDED', undefined],
];

/**
 * To be called when a fault is over. Expects that without a restart every question is soon answered again, on every
 * connection of the pool, and that none leaked; then checks all answers since the last call. Returns how many milliseconds
 * after PostgreSQL the service had recovered.
 */
export async function expectRecovery(world: World): Promise<number> {
  await untilItAnswers(world);
  const since = performance.now();
  let recoveredAt = since;
  for (let inARow = 0; inARow < ROUNDS; ) {
    const failures = failuresOf(await world.ask(ROUND));
    inARow = failures.length === 0 ? inARow + 1 : 0;
    if (inARow > 0) continue;
    recoveredAt = performance.now();
    if (recoveredAt - since > RECOVERY_MS) expect(failures, `failures after ${RECOVERY_MS} ms`).to.deep.equal([]);
    await sleep(25);
  }
  await expectSoundness(world);
  await expectNoLeak(world);
  return recoveredAt - since;
}

async function untilItAnswers({ db }: World): Promise<void> {
  const answers = () =>
    db.raw('select').then(
      () => true,
      () => false,
    );
  while (!(await answers())) await sleep(25);
}

/** Expects that every answer was right and is recorded, and that all other requests failed as the contract says. */
export async function expectSoundness({ db, unchecked }: World): Promise<void> {
  const replies = unchecked.splice(0);
  const decided = new Map(replies.flatMap((reply) => (reply.status === 200 ? decisionsOf(reply) : [])));
  for (const reply of replies) if (reply.status !== 200) expectFailure(reply);
  const rows: { id: string; verdict: string }[] = await db('decisions')
    .whereIn('id', [...decided.keys()])
    .select('id', db.raw(`effect || ' ' || code as verdict`));
  const recorded = new Map(rows.map(({ id, verdict }) => [id, verdict]));
  for (const [id, code] of decided) {
    expect(recorded.get(id), `the record of ${id}`).to.equal(`${code === 'OK' ? 'allow' : 'deny'} ${code}`);
  }
}

function decisionsOf({ body, asked }: Answered): [string, string][] {
  const reply = body as Body;
  const decisions = reply.Data?.decisions ?? [reply];
  expect(decisions.map(({ Code }) => Code)).to.deep.equal(asked.codes);
  return decisions.map(({ Code, Data }) => [Data?.decisionId ?? '', Code]);
}

function expectFailure({ status, body, retryAfter }: Answered): void {
  const reply = body as Body;
  expect([status, reply.Code, retryAfter], JSON.stringify(body)).to.be.deep.oneOf(FAILURES);
  expect(reply).to.have.all.keys('Success', 'Code', 'Message');
  expect(reply.Success).to.equal(false);
  expect(reply.Message).not.to.match(/select|insert|relation|127\.0\.0\.1|ECONN/i);
}

async function expectNoLeak({ db }: World): Promise<void> {
  const giveUpAt = performance.now() + 2000;
  for (;;) {
    const { rows } = await db.raw(`select count(*)::int as count from pg_stat_activity where usename = 'service'`);
    if (rows[0].count <= POOL + SPARE) return;
    if (performance.now() > giveUpAt) expect(rows[0].count, 'connections').to.be.at.most(POOL + SPARE);
    await sleep(50);
  }
}

export const failuresOf = ({ replies }: Pick<Outcome, 'replies'>): unknown[] =>
  replies.filter(({ status }) => status !== 200).map(({ status, body }) => [status, body]);
