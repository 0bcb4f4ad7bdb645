/**
 * After a restore: takes away again what events outside of the database say was taken away, and says what cannot be known. It only
 * narrows; who was given something after the moment of the restore gets it back by hand.
 */

import type { Knex } from 'knex';
import type { Attested } from '../audit/checkpoint/attested.ts';
import { type Actor, mutate } from '../db/mutate.ts';
import { Failure } from '../errors.ts';
import { dutiesOf } from './duties.ts';
import { compareExport, type Exported } from './exported.ts';
import { type Plan, planReconcile, requestIdOf } from './plan.ts';
import type { Step } from './subjects.ts';

export interface Reconciliation extends Plan {
  readonly exported: Exported;
  /** Lost events that no checkpoint attests, and that were left out for that. */
  readonly unattested: number;
  /** What cannot be known, or must be done by hand: a sentence each. */
  readonly unknown: readonly string[];
}

interface Options {
  readonly files: readonly string[];
  readonly attested: Attested;
  /** Whether events count that no checkpoint attests: those after the last one, or all. */
  readonly unattested: boolean;
  readonly onProgress?: ((done: number, of: number) => void) | undefined;
}

/** Says what is to be done, and changes nothing. @throws Refusal, as compareExport and dutiesOf */
export async function prepareReconcile(db: Knex, options: Options): Promise<Reconciliation> {
  const exported = await compareExport(db, options.files, options.attested);
  const counted = exported.lost.filter((event) => options.unattested || event.attested).map(({ line }) => line);
  const duties = dutiesOf(counted);
  const { steps, lacking } = await planReconcile(
    db,
    duties,
    exported.fork,
    exported.lost.map(({ line }) => line.id),
    options.onProgress,
  );
  return {
    exported,
    steps,
    lacking,
    unattested: exported.lost.length - counted.length,
    unknown: [
      ...exported.gaps.map(
        ({ from, to }) =>
          `events ${from} to ${to} are neither in the files nor in the database: what they changed cannot be known`,
      ),
      endOf(exported),
      ...duties.byHand.map((one) => `event ${one.event.seq} of ${one.event.at}: ${one.do}`),
    ],
  };
}

const endOf = ({ beyond, last }: Exported): string =>
  beyond === undefined
    ? `what was changed after event ${last.seq} of ${last.at}, the last of the files, cannot be known`
    : `events ${last.seq + 1} to ${beyond.events} are lost: checkpoint ${beyond.by.number} of ${beyond.by.at} attests that there were so many, ` +
      `and the files end with event ${last.seq} of ${last.at}`;

/**
 * Takes the steps, each as a change of its own whose event names in its request id the lost one. One that failed ends it; run it again then.
 * @returns how many changed something
 */
export async function runSteps(
  db: Knex,
  actor: Actor,
  { steps, exported }: Reconciliation,
  onStep: (step: Step, done: number) => void,
): Promise<number> {
  let done = 0;
  for (const step of steps) {
    try {
      await step.run(db, { ...actor, requestId: requestIdOf(step.event) });
      done += 1;
    } catch (error) {
      // With a user or business that was deleted meanwhile went what was to be changed.
      if (!(error instanceof Failure && error.code === 'NOT_FOUND')) throw error;
    }
    onStep(step, done);
  }
  if (steps.length > 0) await recordRun(db, actor, exported, done);
  return done;
}

const recordRun = (db: Knex, actor: Actor, { fork, lost, last }: Exported, done: number): Promise<void> =>
  mutate(db, actor, async () => ({
    result: undefined,
    events: [
      {
        action: 'restore.reconcile',
        kind: 'log',
        id: 'admin_events',
        after: { fork, lost: lost.length, last: last.seq, hash: last.hash, changes: done },
      },
    ],
    changes: [],
  }));
