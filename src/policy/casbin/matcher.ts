/**
 * Which row matches: the only file that runs Casbin's enforcer. Casbin is given only the rows whose pattern matches the
 * action of the question, since its cost is linear in rows; its own keyMatch still checks each of them.
 */

import { Enforcer, newModelFromString } from 'casbin';
import { byAction } from '../action-patterns.ts';
import { type Facts, groupOf } from '../facts.ts';
import type { Row } from '../row.ts';
import type { Schema } from '../schema.ts';
import { modelFor } from './model.ts';

export interface Matcher {
  readonly schema: Schema;
  /** The first row that matches, with Casbin's own verdict. Throws when a rule does. */
  readonly match: (facts: Facts) => { readonly row: Row | undefined; readonly allowed: boolean };
  /** An upper bound of what `match` costs, in units of about 20 ns. */
  readonly costOf: (facts: Facts) => number;
  /** Whether a row, of this policy or not, would match if there were no other. Throws when its rule does. */
  readonly matchesAlone: (row: Row, facts: Facts) => boolean;
  /** Evaluates every rule once, yielding after each: Casbin compiles a rule at its first evaluation. */
  readonly warm: () => Generator<void>;
}

type Line = readonly [id: string, action: string, when: string, effect: string, code: string];

/** The policy lines that Casbin is given for a class of actions. */
interface Candidates {
  readonly lines: readonly Line[];
  readonly cost: number;
}

/** One enforcer, and so one cache of compiled rules, which is dropped with the matcher. */
export function createMatcher(rows: readonly Row[], schema: Schema): Matcher {
  const ask = asker(schema);
  const { nothingKnown } = schema;
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
    schema,
    match: (facts) => {
      const [allowed, id] = ask(candidatesFor(facts).lines, facts);
      return { allowed, row: id === undefined ? undefined : byId.get(id) };
    },
    costOf: (facts) => candidatesFor(facts).cost,
    matchesAlone: (row, facts) => ask([lineOf(row)], facts)[1] !== undefined,
    *warm() {
      for (const row of rows) {
        // With an action that the row's pattern matches: at any other Casbin would not evaluate its rule.
        const action = row.action.replace('*', row.action === '*' ? 'x:x' : 'x');
        ask([lineOf(row)], { ...nothingKnown, request: { ...nothingKnown.request, action } });
        yield;
      }
    },
  };
}

/** What one row costs Casbin: about 4 µs, and 15 ns for each character of the rule; in units of about 20 ns. */
export const evaluationOf = (row: Row): number => 200 + row.when.text.length;

const lineOf = (row: Row): Line => [row.id, row.action, row.when.text, row.effect, row.code];

/**
 * INVARIANT: the lines are set and the question is asked within one synchronous call, so no question is decided by the
 * lines of another.
 */
function asker(schema: Schema): (lines: readonly Line[], facts: Facts) => [allowed: boolean, id: string | undefined] {
  const model = newModelFromString(modelFor(schema));
  const assertion = model.model.get('p')?.get('p');
  if (!assertion) throw new Error('the model has no policy definition');
  const enforcer = new Enforcer();
  enforcer.setModel(model);
  return (lines, facts) => {
    // Without lines Casbin would evaluate the matcher once with empty policy fields.
    if (lines.length === 0) return [false, undefined];
    // As arrays, which Casbin only reads: its text adapter mangles quoted text.
    assertion.policy = lines as unknown as string[][];
    const [allowed, matched] = enforcer.enforceExSync(...schema.groups.map((group) => groupOf(facts, group)));
    return [allowed, matched[0]];
  };
}
