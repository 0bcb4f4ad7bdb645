/** Counts rate limits in the memory of this process: alone without Redis, and as its insurance. */

/** A window after points were added to it. */
export interface Count {
  /** Points since it began, including those just added. */
  readonly total: number;
  /** Milliseconds until it ends. */
  readonly endsInMs: number;
}

/** Adds points to the window `name`; where there is none, or it has ended, begins one that lasts `lastsMs`. */
export type AddLocally = (name: string, points: number, lastsMs: number) => Count;

interface Options {
  /** Milliseconds that only go forward. */
  readonly now?: () => number;
  /** Most memory for windows, in bytes. */
  readonly bytes?: number;
}

interface Window {
  total: number;
  /** As of the monotonic clock. */
  readonly endsAt: number;
}

/** How many windows are looked at for each that begins: with two, those that have ended are never more than those that began since. */
const LOOKS = 2;
/** Measured memory of a window, with its name of an id as long as a UUID. */
const WINDOW_BYTES = 220;

/**
 * Only counts, without a cap of its own: the cap is compared by the caller, so that it can change within a window. A window takes no timer:
 * each that begins removes those that have ended among the next few, round and round; and where there is no room for it, those that have
 * not ended, too, which then begin anew: a limit protects capacity, and memory is capacity.
 */
export function memoryCounter({
  now = () => performance.now(),
  bytes = Number.POSITIVE_INFINITY,
}: Options = {}): AddLocally {
  const most = Math.max(1, Math.floor(bytes / WINDOW_BYTES));
  const windows = new Map<string, Window>();
  let round = windows.entries();

  const makeRoom = (at: number): void => {
    for (let looks = 0; looks < LOOKS; looks += 1) {
      const next = round.next();
      if (next.done) {
        round = windows.entries();
        continue;
      }
      const [name, { endsAt }] = next.value;
      if (endsAt <= at || windows.size >= most) windows.delete(name);
    }
  };

  return (name, points, lastsMs) => {
    const at = now();
    const window = windows.get(name);
    if (window && window.endsAt > at) {
      window.total += points;
      return { total: window.total, endsInMs: window.endsAt - at };
    }
    makeRoom(at);
    windows.set(name, { total: points, endsAt: at + lastsMs });
    return { total: points, endsInMs: lastsMs };
  };
}
