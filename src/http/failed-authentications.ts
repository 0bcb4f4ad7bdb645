/** Counts failed authentications by the client's address, in a table of bounded size that nobody can push an entry out of. */

import type { RateLimit } from '../input/scalars.ts';

/** Most addresses that are counted each by itself: some 2 MB. */
const MOST = 10_000;
/** Stands for all addresses that found the table full. No address is written like this. */
const OTHERS = 'others';

/**
 * Returns a function that counts a failure of an address. It returns undefined for the first `requests` in a window of
 * `windowSeconds`, and for each further one the seconds until the window ends.
 *
 * An address that finds the table full is counted with all others that did: none is evicted, or whoever has many addresses could
 * begin a new window at will. Who shares that count with them and has a live token never gets here.
 */
export function failuresByAddress(
  { requests, windowSeconds }: RateLimit,
  now: () => number = () => performance.now(),
): (address: string) => number | undefined {
  const windows = new Map<string, { count: number; readonly endsAt: number }>();
  return (address) => {
    const at = now();
    // All are of one length, so they end in the order in which they began, which is that of the map.
    for (const [each, { endsAt }] of windows) {
      if (endsAt > at) break;
      windows.delete(each);
    }
    const name = windows.has(address) || windows.size < MOST ? address : OTHERS;
    const window = windows.get(name) ?? { count: 0, endsAt: at + windowSeconds * 1000 };
    windows.set(name, window);
    window.count += 1;
    return window.count > requests ? Math.max(1, Math.ceil((window.endsAt - at) / 1000)) : undefined;
  };
}
