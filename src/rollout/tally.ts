/** Sums up decisions that came out otherwise under another policy, in flat memory: by codes, and whom each touches most. */

/** One decision that another policy gives another code. */
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

/** The decisions that went from one code to another. */
export interface Shift {
  readonly from: string;
  readonly to: string;
  readonly count: number;
  /** Ids of some of the decisions, the newest of those seen first. */
  readonly samples: readonly string[];
  /** Whom it touches most, the most touched first. */
  readonly keys: readonly Share[];
  readonly users: readonly Share[];
  readonly businesses: readonly Share[];
}

export interface Tally {
  readonly add: (difference: Difference) => void;
  /** The largest first. */
  readonly shifts: () => Shift[];
}

const SAMPLES = 5;
const SHOWN = 10;
/** Of so many ids a count is kept; of those that come after them, none. */
const COUNTED = 10_000;

interface Open {
  count: number;
  samples: string[];
  readonly keys: Map<string, number>;
  readonly users: Map<string, number>;
  readonly businesses: Map<string, number>;
}

export function createTally(): Tally {
  const open = new Map<string, Open>();
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
  if (before !== undefined || counts.size < COUNTED) counts.set(id, (before ?? 0) + 1);
}

const largest = (counts: ReadonlyMap<string, number>): Share[] =>
  [...counts]
    .map(([id, n]) => ({ id, count: n }))
    .sort((a, b) => b.count - a.count || (a.id < b.id ? -1 : 1))
    .slice(0, SHOWN);
