/**
 * The policy as a decision table: for each row the situations that it decides, once the rows above it have decided theirs, as
 * conditions that need no order.
 */

import { decide, type Policy } from '../decide.ts';
import type { Facts } from '../facts.ts';
import type { Effect } from '../row.ts';
import { partitionOf } from './classes.ts';
import { groupByLabel } from './conditions.ts';

export interface TableRow {
  readonly rule: string;
  readonly effect: Effect;
  readonly code: string;
  /** The row decides exactly where one of these holds, among the situations that can occur. Empty: it never does. */
  readonly when: readonly string[];
  /** How many classes of situations it decides. */
  readonly situations: number;
  /** Facts of one of them. */
  readonly example?: Facts;
}

export interface Table {
  readonly policy: string;
  /** The facts that the policy depends on. */
  readonly facts: readonly string[];
  /** How many classes of situations it tells apart. */
  readonly situations: number;
  readonly rows: readonly TableRow[];
}

/**
 * The decision table of `policy`, its rows in their order.
 * @throws OverBound
 * @throws Failure UNAVAILABLE where the policy does not decide some situation, which no checked policy leaves.
 */
export function tableOf(policy: Policy): Table {
  const partition = partitionOf([policy]);
  const groups = groupByLabel(
    partition,
    partition.classes.map(({ facts: [facts] }) => decide(policy, facts as Facts).rule),
  );
  return {
    policy: policy.digest,
    facts: partition.dimensions.map(({ path }) => path),
    situations: partition.classes.length,
    rows: policy.rows.map(({ id, effect, code }) => {
      const { when = [], classes = [] } = groups.get(id) ?? {};
      return {
        rule: id,
        effect,
        code,
        when,
        situations: classes.length,
        ...(classes[0]?.facts[0] && { example: classes[0].facts[0] }),
      };
    }),
  };
}
