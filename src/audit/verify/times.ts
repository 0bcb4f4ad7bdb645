/**
 * Whether records are of the time at which they came into the log. A checkpoint is of all heads: what it lacks was written after it, so
 * a record that is older than the last checkpoint without it was dated back. All times are of the database's clock.
 */

/**
 * How many milliseconds a record may be older than the last checkpoint without it. A record is written within 90 s (`authz_record_batch`), and a
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

export interface JudgedTimes {
  /**
   * The earliest time that a record may have which first appears in the checkpoint of that number, or in none (undefined), in ISO 8601;
   * null: any.
   */
  readonly floorOf: (number: number | undefined) => string | null;
  readonly steps: readonly ClockStep[];
}

export interface CheckpointTimes {
  /** To be called with each checkpoint that is rightly signed, in the order of their numbers. */
  readonly add: (reading: Reading) => void;
  /** `now`: what the clock says. It counts as the time of one more checkpoint, behind all. */
  readonly judge: (now: string) => JudgedTimes;
}

interface Reading {
  readonly number: number | null;
  readonly at: string;
  /**
   * Whether its time counts. INVARIANT: of those with a file that are not in it none does: who has the signing key, and not the file, could
   * make a clock that was set back, and hide behind it what was dated back.
   */
  readonly counts: boolean;
}

export function checkpointTimes(): CheckpointTimes {
  const readings: Reading[] = [];
  return {
    add: (reading) => void readings.push(reading),
    judge: (now) => {
      const floors = new Map<number | null, string | null>();
      const steps: ClockStep[] = [];
      let last: string | undefined;
      let skipped: Reading[] = [];
      for (const reading of [...readings, { number: null, at: now, counts: true }]) {
        skipped.push(reading);
        if (!reading.counts) continue;
        const floor = last === undefined ? null : floorAfter(last, reading, steps);
        // What lies between two that count was written between the two.
        for (const { number } of skipped) floors.set(number, floor);
        skipped = [];
        last = reading.at;
      }
      return { floorOf: (number) => floors.get(number ?? null) ?? null, steps };
    },
  };
}

function floorAfter(before: string, { number, at }: Reading, steps: ClockStep[]): string | null {
  const since = Date.parse(before);
  if (Date.parse(at) >= since - STEP_MS) return new Date(since - ERROR_MS).toISOString();
  steps.push({ checkpoint: number, from: before, to: at });
  return null;
}
