/**
 * The budget of a check, in units of about 20 ns: operations are counted, not timed, so that whether a policy is refused
 * does not depend on the machine. Whoever edits a policy can make it refused, and cannot make a check run for ever.
 */

import type { Row } from '../row.ts';

export interface Budget {
  readonly max: number;
  spent: number;
  /** At how much spent the next pause is due. */
  pauseAt: number;
  readonly spentOn: Map<Row, number>;
}

export class BudgetExceeded extends Error {
  /** What to narrow: the rule that most was spent on, or that is too much by itself. */
  readonly row: Row | undefined;

  constructor(row: Row | undefined) {
    super();
    this.row = row;
  }
}

/** About 4 s. */
export const MAX_BUDGET = 200_000_000;
/** About 20 ms. */
const PAUSE_EVERY = 1_000_000;

export const newBudget = (max = MAX_BUDGET): Budget => ({
  max,
  spent: 0,
  pauseAt: PAUSE_EVERY,
  spentOn: new Map(),
});

/** `on`: the row, or the condition of an invariant, that is looked at. @throws BudgetExceeded */
export function spend(budget: Budget, cost: number, on?: Row): void {
  budget.spent += cost;
  if (on) budget.spentOn.set(on, (budget.spentOn.get(on) ?? 0) + cost);
  if (budget.spent <= budget.max) return;
  const [[most] = []] = [...budget.spentOn].sort(([, a], [, b]) => b - a);
  throw new BudgetExceeded(most);
}

/** Whether to yield to the event loop now. */
export function isPauseDue(budget: Budget): boolean {
  if (budget.spent < budget.pauseAt) return false;
  budget.pauseAt = budget.spent + PAUSE_EVERY;
  return true;
}
