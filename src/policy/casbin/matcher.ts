/**
 * Which row matches: the only file that drives Casbin. Of a policy's rows Casbin is shown those whose pattern takes in
 * the action of the question, since its cost is linear in rows; the matcher's own keyMatch stays, as the second lock.
 */

import { Enforcer, newModelFromString } from 'casbin';
import { byAction } from '../analysis/action-classes.ts';
import { FACT_GROUPS, type Facts } from '../facts.ts';
import type { Row } from '../folder/rows.ts';
import { MODEL } from './model.ts';

export interface Matcher {
  /** The first row that matches, with Casbin's own verdict. Throws when a rule does. */
  readonly match: (facts: Facts) => { readonly row: Row | undefined; readonly allowed: boolean };
  /** What `match` costs at most, in units of about 20 ns. */
  readonly costOf: (facts: Facts) => number;
  /** Whether a row would match if it stood alone; it need be none of the policy's. Throws when its rule does. */
  readonly matchesAlone: (row: Row, facts: Facts) => boolean;
  /** Runs every rule once, yielding after each: Casbin compiles a rule when it first runs it. */
  readonly warm: () => Generator<void>;
}

type Line = readonly [id: string, action: string, when: string, effect: string, code: string];

/** What Casbin is shown for a class of actions. */
interface Candidates {
  readonly lines: readonly Line[];
  readonly cost: number;
}

/** One enforcer, and so one store of compiled rules, which goes when the matcher does. */
export function createMatcher(rows: readonly Row[]): Matcher {
  const ask = asker();
  const byId = new Map(rows.map((row) => [row.id, row]));
  const index = byAction(rows);
  const known = new Map<readonly Row[], Candidates>();
  const candidatesFor = (facts: Facts): Candidates => {
    const items = index.itemsOf(facts.request.action);
    const before = known.get(items);
    if (before) return before;
    const cost = items.reduce((sum, row) => sum + evaluationOf(row), 0);
    const candidates = { lines: items.map(lineOf), cost };
    known.set(items, candidates);
    return candidates;
  };
  return {
    match: (facts) => {
      const [allowed, id] = ask(candidatesFor(facts).lines, facts);
      return { allowed, row: id === undefined ? undefined : byId.get(id) };
    },
    costOf: (facts) => candidatesFor(facts).cost,
    matchesAlone: (row, facts) => ask([lineOf(row)], facts)[1] !== undefined,
    *warm() {
      for (const row of rows) {
        // Of an action that the row takes: at any other Casbin would not come to its rule.
        ask([lineOf(row)], {
          ...NOBODY,
          request: { action: row.action.replace('*', row.action === '*' ? 'x:x' : 'x') },
        });
        yield;
      }
    },
  };
}

const NOBODY: Omit<Facts, 'request'> = {
  key: { id: '', status: 'unknown', userManagement: false, environment: '' },
  user: { id: '', status: 'unknown', businesses: 'active' },
  target: { id: '', status: 'none', role: 'none', inRestriction: false },
  limit: { exceeded: false },
};

/** What Casbin takes for one row: about 4 µs, and 15 ns for each character of the rule; in units of about 20 ns. */
export const evaluationOf = (row: Row): number => 200 + row.when.text.length;

const lineOf = (row: Row): Line => [row.id, row.action, row.when.text, row.effect, row.code];

/**
 * INVARIANT: the lines are put in and the question is asked within one synchronous call, so no question ever sees the
 * lines of another.
 */
function asker(): (lines: readonly Line[], facts: Facts) => [allowed: boolean, id: string | undefined] {
  const model = newModelFromString(MODEL);
  const assertion = model.model.get('p')?.get('p');
  if (!assertion) throw new Error('the model has no policy definition');
  const enforcer = new Enforcer();
  enforcer.setModel(model);
  return (lines, facts) => {
    // Without lines Casbin would run the matcher on none.
    if (lines.length === 0) return [false, undefined];
    // Rows go in as arrays, which Casbin only reads: its own text adapter mangles quoted text.
    assertion.policy = lines as unknown as string[][];
    const [allowed, matched] = enforcer.enforceExSync(...FACT_GROUPS.map((group) => facts[group]));
    return [allowed, matched[0]];
  };
}
