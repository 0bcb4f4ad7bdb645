/** What a write that failed has left behind: nothing, or nobody knows. Whoever must write exactly once asks this first. */

import pg from 'pg';

/**
 * - `refused`: nothing was written, because of the rows themselves; without the one at fault the others will do.
 * - `failed`: nothing was written, and no other rows would have fared better.
 * - `unknown`: the connection is gone, or the server is; it may have committed before, or may still do so.
 */
export type Trouble = 'refused' | 'failed' | 'unknown';

/** By SQLSTATE or its class: values, constraints, what a trigger raises, and limits of the format. */
const OF_THE_ROWS = ['22', '23', 'P0', '54'];
/** What PostgreSQL never ends a session with, whatever its language calls a mere error. */
const OF_THE_STATEMENT = [...OF_THE_ROWS, '0A', '25006', '40', '42', '55', '57014'];

/** `sent` is false where the statement never left, for want of a connection. */
export function troubleOf(error: unknown, sent: boolean): Trouble {
  if (!sent) return 'failed';
  if (!(error instanceof pg.DatabaseError)) return 'unknown';
  const { code = '', severity } = error;
  const among = (codes: readonly string[]): boolean => codes.some((start) => code.startsWith(start));
  if (among(OF_THE_ROWS)) return 'refused';
  // FATAL and PANIC end the session, and may do so between the commit and its confirmation.
  return severity === 'ERROR' || among(OF_THE_STATEMENT) ? 'failed' : 'unknown';
}

/** Whether there is no partition for a row. PostgreSQL calls that a violated constraint, in the server's language. */
export const lacksPartition = (error: unknown): boolean =>
  error instanceof pg.DatabaseError && error.code === '23514' && error.routine === 'ExecFindPartition';
