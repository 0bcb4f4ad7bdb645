/**
 * What a check may cost, counted rather than timed, so that what is refused does not depend on the machine: in units of
 * about 20 ns. An attacker who edits a policy can make it refused, and nothing more.
 */

export interface Effort {
  spent: number;
  /** How much is spent when others may work again. */
  pause: number;
}

/** Thrown where a proof would take too long. */
export class Exhausted extends Error {}

/** About 4 s. */
export const MAX_EFFORT = 200_000_000;
/** About 20 ms. */
const STEP = 1_000_000;

export const newEffort = (): Effort => ({ spent: 0, pause: STEP });

/** @throws Exhausted */
export function spend(effort: Effort, cost: number): void {
  effort.spent += cost;
  if (effort.spent > MAX_EFFORT) throw new Exhausted();
}

/** Whether it is time to let others work. */
export function due(effort: Effort): boolean {
  if (effort.spent < effort.pause) return false;
  effort.pause = effort.spent + STEP;
  return true;
}
