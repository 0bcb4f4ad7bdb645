/**
 * `policy explain` of live facts, for the CLI and the route: what would be decided now, or at another moment, or if some facts were
 * otherwise; why; and for a denial the smallest changes that would make it an allow. Nothing is recorded as a decision, and no point of
 * a rate limit is used.
 */

import type { Knex } from 'knex';
import type { Pepper } from '../credentials/token.ts';
import { type Actor, mutate } from '../db/mutate.ts';
import type { FactChange } from '../policy/analysis/change-sets.ts';
import { MOST_SETS, type SmallestChanges, smallestChanges } from '../policy/analysis/smallest-changes.ts';
import type { Policy } from '../policy/decide.ts';
import { type Explanation, explaining } from '../policy/explain.ts';
import { toldOf } from '../policy/message.ts';
import { runInTurn } from '../policy/time-slices.ts';
import { type Advice, adviceOn } from './advice.ts';
import { type Live, readLive } from './live.ts';
import type { LiveQuestion } from './question.ts';

export interface LiveExplanation extends Explanation {
  /** The moment that it is decided for, RFC 3339. */
  readonly at: string;
  /** What the client of the calling service would be answered. */
  readonly status: number;
  readonly message: string;
  /** Those that cover the question at that moment. */
  readonly freezes: readonly { readonly id: string; readonly until: string; readonly reason: string }[];
  /** For a denial: sets of changes, any of which would make it an allow; of each, all are needed. The fewest changes first. */
  readonly smallestChanges: readonly Way[];
  /** Why there may be others, or are none; null: these are all. */
  readonly note: string | null;
}

export interface Way {
  readonly changes: readonly FactChange[];
  readonly advice: readonly Advice[];
}

/** What it needs. `db` must be the primary. */
export interface Explainer {
  readonly db: Knex;
  readonly peppers: readonly Pepper[];
  readonly policy: Policy;
}

/**
 * Explains what `policy` says of a question on live facts, and leaves the admin event `policy.explain`.
 * @throws Failure NOT_FOUND, INVALID_REQUEST as `readLive`; UNAVAILABLE, DEADLINE_EXCEEDED
 */
export async function explainLive(
  { db, peppers, policy }: Explainer,
  actor: Actor,
  question: LiveQuestion,
): Promise<LiveExplanation> {
  const live = await readLive(db, peppers, policy.schema, question);
  await recordExplain(db, actor, policy, live);
  const { facts, at, freezes } = live;
  const explanation = await runInTurn(explaining(policy, facts));
  const found = await runInTurn(smallestChanges(policy, facts));
  return {
    ...explanation,
    at,
    ...toldOf(policy.codes, explanation.decision.code, { ...live.reasons, freeze: freezes[0]?.reason }, undefined),
    freezes: freezes.map(({ id, until, reason }) => ({ id, until, reason })),
    smallestChanges: found.sets.map((set) => ({ changes: set.changes, advice: adviceOn(set, live) })),
    note: explanation.decision.effect === 'allow' ? null : noteOn(found),
  };
}

function noteOn({ sets, incomplete }: SmallestChanges): string | null {
  if (incomplete === 'cut') return `These are the ${MOST_SETS} smallest; there are more.`;
  if (incomplete === 'budget') return 'The search was given up at its bound, so there may be others.';
  return sets.length === 0
    ? 'No change of these facts makes it an allow: the rows deny this action whatever else is so.'
    : null;
}

/** INVARIANT: who asks what a key may do awaits this before anything of it is shown. */
const recordExplain = (db: Knex, actor: Actor, { digest }: Policy, { question, key, at }: Live): Promise<void> =>
  mutate(db, actor, async () => {
    const { action, businessId = null, set } = question;
    const after = { apiKeyId: key?.id ?? null, action, businessId, at, set: Object.fromEntries(set) };
    return {
      result: undefined,
      events: [{ action: 'policy.explain', kind: 'policy', id: digest, after }],
      changes: [],
    };
  });
