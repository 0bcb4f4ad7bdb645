/** The failures that the lists of the directory share. */

import { Failure } from '../errors.ts';

export const notFound = (kind: string, id: string): Failure =>
  new Failure('NOT_FOUND', `There is no ${kind} ${id}. Look for its id in the list.`);

/** One fault of a request that only the database could tell. */
export const refused = (path: string, message: string): Failure =>
  new Failure('INVALID_REQUEST', undefined, { issues: [{ path, message }] });
