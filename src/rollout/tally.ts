/** Counts decisions whose code changes under another policy, by old and new code, with the keys, users and businesses most affected. */

/** One decision whose code changes. */
export interface Difference {
  readonly id: string;
  readonly from: string;
  readonly to: string;
  readonly apiKeyId: string | null;
  readonly userId: string | null;
  readonly businessId: string | null;
}

export interface Share {
  readonly id: string;
  readonly count: number;
}

/** All decisions whose code changes from `from` to `to`. */
export interface Shift {
  readonly from: string;
  readonly to: string;
  readonly count: number;
  /** Ids of up to five of the decisions, the newest first. */
  readonly samples: readonly string[];
  /** The most affected, by count, descending. */
  readonly keys: readonly Share[];
  readonly users: readonly Share[];
  readonly businesses: readonly Share[];
}

export interface Tally {
  readonly add: (difference: Difference) => void;
  /** By count, descending. */
  readonly shifts: () => Shift[];
}

const SAMPLES = 5;
const SHOWN = 10;
/** Bound on memory: ids beyond the first so many of each kind are not counted. */
const MAX_COUNTED = 10_000;

/** A shift that is still being counted. */
interface OpenShift {
  count: number;
  samples: string[];
  readonly keys: Map<string, number>;
  readonly users: Map<string, number>;
  readonly businesses: Map<string, number>;
}

export function createTally(): Tally {
  const open = new Map<string, OpenShift>();
  return {
    add: ({ id, from, to, apiKeyId, userId, businessId }) => {
      const name = `${from} ${to}`;
      const shift = open.get(name) ?? {
        count: 0,
        samples: [],
        keys: new Map(),
        users: new Map(),
        businesses: new Map(),
      };
      open.set(name, shift);
      shift.count += 1;
      shift.samples = [id, ...shift.samples].sort().reverse().slice(0, SAMPLES);
      count(shift.keys, apiKeyId);
      count(shift.users, userId);
      count(shift.businesses, businessId);
    },
    shifts: () =>
      [...open]
        .map(([name, shift]): Shift => {
          const [from = '', to = ''] = name.split(' ');
          const { keys, users, businesses } = shift;
          return { ...shift, from, to, keys: largest(keys), users: largest(users), businesses: largest(businesses) };
        })
        .sort((a, b) => b.count - a.count || (a.from + a.to < b.from + b.to ? -1 : 1)),
  };
}

function count(counts: Map<string, number>, id: string | null): void {
  if (id === null) return;
  const before = counts.get(id);
  if (before !== undefined || counts.size < MAX_COUNTED) counts.set(id, (before ?? 0) + 1);
}

const largest = (counts: ReadonlyMap<string, number>): Share[] =>
  [...counts]
    .map(([id, n]) => ({ id, count: n }))
    .sort((a, b) => b.count - a.count || (a.id < b.id ? -1 : 1))
    .slice(0, SHOWN);
