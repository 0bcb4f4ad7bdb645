/** Keyset pagination with signed cursors: every page costs the same, and rows inserted meanwhile shift none. */

import { createHmac, timingSafeEqual } from 'node:crypto';
import { Failure } from '../errors.ts';
import { orFailure } from './failure.ts';

export interface Page<T> {
  readonly items: readonly T[];
  /** For the next page; null at the end. */
  readonly nextCursor: string | null;
}

export interface PageRequest {
  /** 1 to 200. */
  readonly limit: number;
  readonly cursor?: string | undefined;
}

/** Makes and reads cursors. A cursor is a place (the last row's key) and an HMAC over it and the list's name and filters. */
export interface Cursors {
  readonly make: (list: string, place: string) => string;
  /** The place; '' (the start) without a cursor. @throws Failure INVALID_REQUEST for a cursor that was not made for this list */
  readonly read: (list: string, cursor: string | undefined) => string;
}

export function createCursors(secret: Buffer): Cursors {
  const sign = (list: string, place: string): Buffer =>
    createHmac('sha256', secret)
      .update(JSON.stringify(['cursor', list, place]))
      .digest()
      .subarray(0, 12);
  return {
    make: (list, place) => Buffer.concat([sign(list, place), Buffer.from(place)]).toString('base64url'),
    read: (list, cursor) => {
      if (cursor === undefined) return '';
      const bytes = Buffer.from(cursor, 'base64url');
      const place = bytes.subarray(12).toString();
      const genuine = bytes.length > 12 && timingSafeEqual(bytes.subarray(0, 12), sign(list, place));
      if (genuine && bytes.toString('base64url') === cursor) return place;
      throw new Failure('INVALID_REQUEST', undefined, {
        issues: [
          { path: 'cursor', message: 'is no cursor of this list; take nextCursor of its last page, or leave it out' },
        ],
      });
    },
  };
}

/**
 * One page of a list. `list` names it with its filters; `rowsAfter` selects at most `limit` rows past a place ('' is the
 * start) in the list's order, and is asked for one more than the page shows; `placeOf` is a row's sort key.
 * @throws Failure INVALID_REQUEST (the cursor), UNAVAILABLE or DEADLINE_EXCEEDED
 */
export async function readPage<Row, T>(
  { limit, cursor }: PageRequest,
  cursors: Cursors,
  list: string,
  rowsAfter: (place: string, limit: number) => PromiseLike<Row[]>,
  placeOf: (row: Row) => string,
  present: (row: Row) => T,
): Promise<Page<T>> {
  const rows = await orFailure(rowsAfter(cursors.read(list, cursor), limit + 1));
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  const nextCursor = rows.length > limit && last !== undefined ? cursors.make(list, placeOf(last)) : null;
  return { items: shown.map(present), nextCursor };
}
