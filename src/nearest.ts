/** Names what somebody may have meant: the known name that is nearest to an unknown one. */

import { closest, distance } from 'fastest-levenshtein';

/** The nearest of `known` by edit distance (Levenshtein); undefined where none is near enough to be a slip of the finger. */
export function nearestTo(name: string, known: readonly string[]): string | undefined {
  const most = Math.max(2, name.length / 3);
  // Each letter more or less is an edit. So a name of thousands of characters, which a caller may send, is compared with none.
  const near = known.filter(({ length }) => Math.abs(length - name.length) <= most);
  if (near.length === 0) return undefined;
  const found = closest(name, near);
  return distance(name, found) <= most ? found : undefined;
}

/** `message`, with the nearest known name where there is one. */
export function withNearest(message: string, name: string, known: readonly string[]): string {
  const nearest = nearestTo(name, known);
  return nearest === undefined ? message : `${message}; did you mean ${nearest}?`;
}
