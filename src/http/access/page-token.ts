/**
 * Tokens of the pages of a search: signed, and good for the same question of the same caller alone. A page that is asked for with the token of
 * another question would be a page of neither.
 */

import type { Cursors } from '../../db/page.ts';
import { Failure } from '../../errors.ts';
import { invalid } from '../../input/json.ts';

/** Ids hold no spaces, and no id is empty. */
const BETWEEN = ' ';
const START = '~';

export interface PageTokens {
  /** What the page begins behind; undefined: the start. @throws Failure INVALID_REQUEST: the token is of another search, or of none */
  readonly read: (token: string | null | undefined) => readonly string[] | undefined;
  readonly make: (after: readonly string[] | undefined) => string;
}

/** Of the body of a search by a caller; what `page` says is not part of the question. */
export function pageTokens(cursors: Cursors, search: string, callerId: string, body: object): PageTokens {
  const { page: _, ...question } = body as { readonly page?: unknown };
  const list = `authzen ${JSON.stringify([search, callerId, inOrder(question)])}`;
  return {
    make: (after) => cursors.make(list, after ? after.join(BETWEEN) : START),
    read: (token) => {
      if (token === undefined || token === null || token === '') return undefined;
      try {
        const place = cursors.read(list, token);
        return place === START ? undefined : place.split(BETWEEN);
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        throw invalid('page.token', 'is no token of this search; send the same question with it, or leave it out');
      }
    },
  };
}

/** The order of members means nothing. */
function inOrder(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(inOrder);
  if (typeof value !== 'object' || value === null) return value;
  return Object.entries(value)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, member]) => [name, inOrder(member)]);
}
