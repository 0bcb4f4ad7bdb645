/** What is gathered into statements: each who asks gets their own answer, whatever becomes of the others'. */

import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import fc from 'fast-check';
import { type Deadline, deadlineIn } from '../../src/deadline.ts';
import { type Answers, gathering } from '../../src/facts/gather.ts';
import { SEED, times } from '../policy/texts.ts';

/** A statement that was sent: what it asks for, and what ends it. */
interface Statement {
  readonly asked: readonly (readonly number[])[];
  readonly isWanted: () => boolean;
  readonly answer: (answers?: Answers<string>) => void;
  readonly fail: (error: Error) => void;
}

const textOf = (asked: readonly number[]): string => asked.join();

function statements(patienceMs?: number) {
  const sent: Statement[] = [];
  const ask = gathering<number, string>(
    (asked, isWanted) =>
      new Promise((resolve, reject) => {
        const all = asked.map((each) => () => textOf(each));
        sent.push({ asked, isWanted, answer: (answers = all) => resolve(answers), fail: reject });
      }),
    patienceMs,
  );
  return { sent, ask: (asked: readonly number[], deadline: Deadline = deadlineIn(60_000)) => ask(asked, deadline) };
}

const failureOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'none',
    (error: { code?: string; message: string }) => error.code ?? error.message,
  );

describe(`reads of one turn (seed ${SEED})`, () => {
  it('are one statement, and what is asked while two are under way goes out when one returns', async () => {
    const { sent, ask } = statements(60_000);
    const first = Promise.all([ask([1]), ask([2, 3])]);
    await nextTurn();
    const second = ask([4]);
    await nextTurn();
    const later = [ask([5])];
    await nextTurn();
    later.push(ask([6]));
    await nextTurn();
    expect(sent.map(({ asked }) => asked)).to.deep.equal([[[1], [2, 3]], [[4]]]);
    sent[0]?.answer();
    expect(await first).to.deep.equal(['1', '2,3']);
    await nextTurn();
    expect(sent[2]?.asked).to.deep.equal([[5], [6]]);
    sent[2]?.answer();
    sent[1]?.answer();
    expect(await Promise.all([second, ...later])).to.deep.equal(['4', '5', '6']);
  });

  it('do not wait long for statements that hang', async () => {
    const { sent, ask } = statements();
    for (let n = 0; n < 2; n += 1) {
      ask([n]).catch(() => undefined);
      await nextTurn();
    }
    const third = ask([3]);
    while (sent.length < 3) await sleep(5);
    sent[2]?.answer();
    expect(await third).to.equal('3');
  });

  it('fail by themselves, all of them with the statement, and when it answers too few', async () => {
    const { sent, ask } = statements();
    const refused = (): never => {
      throw new Error('of this one');
    };
    for (const [end, expected] of [
      [(one?: Statement) => one?.answer([refused, () => 'b']), ['of this one', 'none']],
      [(one?: Statement) => one?.fail(new Error('of all')), ['of all', 'of all']],
      [(one?: Statement) => one?.answer([() => 'a']), ['none', 'a statement answered fewer than were asked for']],
    ] as const) {
      const both = Promise.all([failureOf(ask([1])), failureOf(ask([2]))]);
      await nextTurn();
      end(sent.at(-1));
      expect(await both).to.deep.equal(expected);
    }
  });

  it('are not sent for those whose deadline has passed, and a statement that nobody waits for is told so', async () => {
    const { sent, ask } = statements();
    const passed = failureOf(ask([1], deadlineIn(-1)));
    await nextTurn();
    expect(sent).to.deep.equal([]);
    expect(await passed).to.equal('DEADLINE_EXCEEDED');
    const soon = deadlineIn(60_000);
    const [early, late] = [failureOf(ask([2], soon)), ask([3])];
    await nextTurn();
    soon.extend(-60_000);
    expect(sent[0]?.isWanted(), 'while one is wanted').to.equal(true);
    sent[0]?.answer();
    expect(await late).to.equal('3');
    expect(await early).to.equal('DEADLINE_EXCEEDED');
    const last = deadlineIn(60_000);
    const both = [failureOf(ask([4], last)), failureOf(ask([5], last))];
    await nextTurn();
    last.extend(-60_000);
    expect(sent[1]?.isWanted(), 'while none is').to.equal(false);
    expect(await Promise.all(both)).to.deep.equal(['DEADLINE_EXCEEDED', 'DEADLINE_EXCEEDED']);
  });

  it('are answered as they were asked, in any order of asking and ending, at most 200 things a statement', async () => {
    const call = fc.array(fc.nat(), { maxLength: 120 });
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(call, { maxLength: 8 }), { maxLength: 8 }),
        fc.infiniteStream(fc.boolean()),
        async (turns, coins) => {
          const { sent, ask } = statements();
          const given: Promise<string>[] = [];
          const expected: string[] = [];
          let ended = 0;
          const endSome = (): void => {
            for (; ended < sent.length && coins.next().value; ended += 1) sent[ended]?.answer();
          };
          for (const calls of turns) {
            for (const asked of calls) {
              given.push(ask(asked));
              expected.push(textOf(asked));
            }
            await nextTurn();
            endSome();
          }
          const all = Promise.all(given);
          for (let done = false; !done; ) {
            for (; ended < sent.length; ended += 1) sent[ended]?.answer();
            done = (await Promise.race([all, nextTurn('turn')])) !== 'turn';
          }
          expect(await all).to.deep.equal(expected);
          expect(sent.flatMap(({ asked }) => asked.map(textOf))).to.deep.equal(expected);
          for (const { asked } of sent) if (asked.length > 1) expect(asked.flat().length).to.be.at.most(200);
        },
      ),
      times(50),
    );
  });
});
