/**
 * Classifies a failed write: rolled back because of a bad row, rolled back for another reason, or outcome unknown. A writer
 * that must write exactly once may retry only what was rolled back, and must look first where the outcome is unknown.
 */

import pg from 'pg';
import { Failure } from '../errors.ts';

/**
 * - `refused`: rolled back because of a row (its values, a constraint, a trigger); the batch passes without that row.
 * - `failed`: rolled back for a reason that is not in the rows, or never sent; any rows would have failed.
 * - `unknown`: the connection or the server was lost: the write may have been committed, or may still be.
 */
export type WriteOutcome = 'refused' | 'failed' | 'unknown';

/** SQLSTATE classes: data exception, constraint violation, PL/pgSQL (a trigger's `raise`), program limit exceeded. */
const BAD_ROW = ['22', '23', 'P0', '54'];
/**
 * SQLSTATEs, or their classes, that never end a session, so the transaction was rolled back. They decide where `severity`
 * cannot: it is translated into the server's language.
 */
const ROLLED_BACK = [...BAD_ROW, '0A', '25006', '40', '42', '55', '57014', 'AU'];

/** `sent` is false for a statement that never got a connection. */
export function writeOutcomeOf(error: unknown, sent: boolean): WriteOutcome {
  if (!sent) return 'failed';
  if (!(error instanceof pg.DatabaseError)) return 'unknown';
  const { code = '', severity } = error;
  const isOf = (classes: readonly string[]): boolean => classes.some((start) => code.startsWith(start));
  if (isOf(BAD_ROW)) return 'refused';
  // FATAL and PANIC end the session, perhaps between the commit and its confirmation.
  return severity === 'ERROR' || isOf(ROLLED_BACK) ? 'failed' : 'unknown';
}

/** serialization_failure, deadlock_detected: rolled back for the sake of another transaction, and likely to pass when it is run again. */
const RACES: readonly unknown[] = ['40001', '40P01'];
export const ATTEMPTS = 5;

/** Whether PostgreSQL rolled back what failed with this because of another transaction. Looks through a Failure. */
export const lostRace = (error: unknown): boolean =>
  RACES.includes(((error instanceof Failure ? error.cause : error) as { code?: unknown } | undefined)?.code);

/** The result of `work`, which is run again where it lost a race. @throws what its last run throws */
export async function despiteRaces<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      if (attempt === ATTEMPTS || !lostRace(error)) throw error;
    }
  }
}

/**
 * Whether a row fits no partition of its table. PostgreSQL reports a check_violation, as for a CHECK constraint, and its
 * message is translated; the C routine's name is not.
 */
export const lacksPartition = (error: unknown): boolean =>
  error instanceof pg.DatabaseError && error.code === '23514' && error.routine === 'ExecFindPartition';
