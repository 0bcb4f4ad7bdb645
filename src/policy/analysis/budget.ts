/**
 * The budget of a check, in units of about 20 ns: operations are counted, not timed, so that whether a policy is refused
 * does not depend on the machine. Whoever edits a policy can make it refused, and cannot make a check run for ever.
 */

export interface Budget {
  readonly max: number;
  spent: number;
  /** At how much spent the next pause is due. */
  pauseAt: number;
}

export class BudgetExceeded extends Error {}

/** About 4 s. */
export const MAX_BUDGET = 200_000_000;
/** About 20 ms. */
const PAUSE_EVERY = 1_000_000;

export const newBudget = (max = MAX_BUDGET): Budget => ({ max, spent: 0, pauseAt: PAUSE_EVERY });

/** @throws BudgetExceeded */
export function spend(budget: Budget, cost: number): void {
  budget.spent += cost;
  if (budget.spent > budget.max) throw new BudgetExceeded();
}

/** Whether to yield to the event loop now. */
export function isPauseDue(budget: Budget): boolean {
  if (budget.spent < budget.pauseAt) return false;
  budget.pauseAt = budget.spent + PAUSE_EVERY;
  return true;
}
