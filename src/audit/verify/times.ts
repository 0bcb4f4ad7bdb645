/**
 * Whether records are of the time at which they came into the log. A checkpoint is of all heads: what it lacks was written after it, so
 * a record that is older than the last checkpoint without it was dated back. All times are of the database's clock.
 */

/**
 * How many milliseconds a record may be older than the last checkpoint without it. A record is written within 90 s (`authz_record`), and a
 * clock that was set back by less than STEP_MS is not told from one that was not.
 */
const ERROR_MS = 120_000;
/** A checkpoint that is so many milliseconds older than the one before shows that the clock was set back between the two. */
const STEP_MS = 30_000;

/** The database's clock was set back between two checkpoints, or since the last: records that first appear in the later one have any time. */
export interface ClockStep {
  /** Of the later checkpoint; null: of none, it is the verification that found the clock behind the last one. */
  readonly checkpoint: number | null;
  /** What the clock said at the earlier one, and at the later. */
  readonly from: string;
  readonly to: string;
}

export interface CheckpointTimes {
  /**
   * To be called with each checkpoint that counts, in the order of their numbers.
   * @returns the earliest time that a record may have which first appears in it, in ISO 8601; null: any
   */
  readonly next: (number: number | null, at: string) => string | null;
  readonly steps: () => readonly ClockStep[];
}

export function checkpointTimes(): CheckpointTimes {
  const steps: ClockStep[] = [];
  let last: string | undefined;
  return {
    next: (number, at) => {
      const before = last;
      last = at;
      if (before === undefined) return null;
      const since = Date.parse(before);
      if (Date.parse(at) >= since - STEP_MS) return new Date(since - ERROR_MS).toISOString();
      steps.push({ checkpoint: number, from: before, to: at });
      return null;
    },
    steps: () => steps,
  };
}
