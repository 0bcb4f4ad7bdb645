/** Holds the action patterns of rows against the register of actions in `facts.yaml`. */

import { withNearest } from '../../nearest.ts';
import { matchesPattern } from '../action-patterns.ts';
import type { DeclaredActions } from '../declared/declaration.ts';
import { ACTION_PATH } from '../facts.ts';
import type { Row } from '../row.ts';
import type { Report } from './findings.ts';

/**
 * Reports patterns that match no action of the register: in the column of a row, or in its rule. Under a strict register such a
 * pattern is an error; otherwise it is advice, since an action need not be registered to be asked about.
 */
export function checkRegister(rows: readonly Row[], { known, strict }: DeclaredActions, report: Report): void {
  if (known.size === 0) return;
  const actions = [...known.keys()];
  for (const { action, when, file, line } of rows) {
    for (const pattern of new Set([action, ...(when.constants.get(ACTION_PATH) ?? [])])) {
      if (pattern === '' || actions.some((one) => matchesPattern(pattern, one))) continue;
      report({
        file,
        line,
        column: 1,
        rule: strict ? 'unknown-action' : 'unregistered-action',
        message: withNearest(`${pattern} matches no action of the register in facts.yaml`, pattern, actions),
      });
    }
  }
}
