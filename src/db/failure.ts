/** What an error during database work means to the caller: a Failure with an HTTP status and an exit code. */

import knex from 'knex';
import pg from 'pg';
import { Failure } from '../errors.ts';

/** SQLSTATE query_canceled: what statement_timeout raises. */
const QUERY_CANCELED = '57014';

/**
 * Whether code is wrong, rather than the database in trouble: no driver, pool or socket reports trouble with one of these
 * (they throw Error, with a code). SyntaxError does not count: parsing what a broken connection delivered may throw it.
 */
const isDefect = (error: unknown): boolean =>
  error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError;

const isTimeout = (error: unknown): boolean =>
  error instanceof knex.KnexTimeoutError || (error instanceof pg.DatabaseError && error.code === QUERY_CANCELED);

/**
 * Classifies what reads and writes threw: INTERNAL for a defect, DEADLINE_EXCEEDED for a timeout, UNAVAILABLE for all else; a
 * Failure stays as it is. The error becomes the cause, which is logged and never sent. The code says nothing of a write's
 * outcome: after each of them it may have been committed (write-outcome.ts).
 */
export function databaseFailure(cause: unknown): Failure {
  if (cause instanceof Failure) return cause;
  const code = isDefect(cause) ? 'INTERNAL' : isTimeout(cause) ? 'DEADLINE_EXCEEDED' : 'UNAVAILABLE';
  return new Failure(code, undefined, { cause });
}

/**
 * Holds that a row came from the primary: a standby lags behind. `standby`: what pg_is_in_recovery() said; undefined: no row came.
 * @throws Failure UNAVAILABLE
 */
export function requirePrimary(standby: unknown): void {
  if (standby !== false)
    throw databaseFailure(new Error('the facts came from a standby; DATABASE_URL must name the primary'));
}

/** The error of PostgreSQL with this SQLSTATE, where that, or a cause of it, is what was thrown. */
export function sqlErrorOf(error: unknown, code: string): pg.DatabaseError | undefined {
  for (let each = error; each instanceof Error; each = each.cause)
    if (each instanceof pg.DatabaseError && each.code === code) return each;
  return undefined;
}

/** The result of a query outside `mutate`. @throws Failure as `databaseFailure` classifies it */
export async function orFailure<T>(query: PromiseLike<T>): Promise<T> {
  try {
    return await query;
  } catch (error) {
    throw databaseFailure(error);
  }
}
