/** What an error from PostgreSQL, its driver or its pool means to the caller: a Failure with an HTTP status and an exit code. */

import knex from 'knex';
import pg from 'pg';
import { Failure } from '../errors.ts';

/** SQLSTATE query_canceled: what statement_timeout raises. */
const QUERY_CANCELED = '57014';

/**
 * Classifies what a query threw: DEADLINE_EXCEEDED for a timeout, UNAVAILABLE for all else; a Failure stays as it is. The
 * error becomes the cause, which is logged and never sent.
 */
export function databaseFailure(cause: unknown): Failure {
  if (cause instanceof Failure) return cause;
  const timedOut =
    cause instanceof knex.KnexTimeoutError || (cause instanceof pg.DatabaseError && cause.code === QUERY_CANCELED);
  return new Failure(timedOut ? 'DEADLINE_EXCEEDED' : 'UNAVAILABLE', undefined, { cause });
}

/**
 * Whether code is wrong, rather than the database in trouble: no driver, pool or socket reports trouble with one of these
 * (they throw Error, with a code). SyntaxError does not count: parsing what a broken connection delivered may throw it.
 */
export const isDefect = (error: unknown): boolean =>
  error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError;

/** The result of a query outside `mutate`. @throws Failure as `databaseFailure` classifies it */
export async function orFailure<T>(query: PromiseLike<T>): Promise<T> {
  try {
    return await query;
  } catch (error) {
    throw databaseFailure(error);
  }
}
