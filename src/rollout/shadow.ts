/**
 * Shadow evaluation: a shadow policy decides on the same facts as the live one, and nothing acts on its decisions. Where
 * its code differs, that is counted, and recorded with the live decision.
 */

import { Failure } from '../errors.ts';
import type { Log } from '../log.ts';
import { counter, type Metric, sampleEach } from '../metric.ts';
import type { Decision, Policy } from '../policy/decide.ts';
import type { Facts } from '../policy/facts.ts';
import { memoizedDecide } from '../policy/memo.ts';
import type { Schema } from '../policy/schema.ts';

/** The decision of the shadow policy, where its code differs. */
export interface ShadowDecision {
  /** Digest of the shadow policy. */
  readonly policy: string;
  readonly code: string;
  readonly rule: string;
}

export interface ShadowCounts {
  /** Decisions that it evaluated. */
  readonly compared: number;
  /** Of those: with another code. */
  readonly disagreed: number;
  /** Of those: on which it threw. */
  readonly failed: number;
  /** Decisions that it did not evaluate, because its time budget was used up or one evaluation would cost too much. */
  readonly skipped: number;
}

export interface Shadow {
  /**
   * The decision of the shadow policy, where its code differs. `factsUnder` makes the facts of the question under a policy: what
   * the shadow policy declares may be another thing. Never throws, and keeps to its time budget.
   */
  readonly compare: (factsUnder: (schema: Schema) => Facts, decision: Decision) => ShadowDecision | undefined;
  readonly counts: () => ShadowCounts;
}

/** Its time budget, a token bucket: it refills at this share of the elapsed time, up to so many milliseconds. */
const SHARE = 0.05;
const SAVED_MS = 20;
/** Most that one evaluation may cost, in units of about 20 ns: 5 ms, for which it blocks the event loop. */
const MAX_COST = 250_000;

/** `shadowPolicy()` is the current shadow policy; undefined: none. */
export function createShadow(shadowPolicy: () => Policy | undefined, log: Log, now = () => performance.now()): Shadow {
  const counts = { compared: 0, disagreed: 0, failed: 0, skipped: 0 };
  const budget = createTimeBudget(now);
  const decide = memoizedDecide();
  let warned: Policy | undefined;

  return {
    counts: () => ({ ...counts }),
    compare: (factsUnder, decision) => {
      const policy = shadowPolicy();
      if (policy === undefined) return undefined;
      if (!budget.left()) {
        counts.skipped += 1;
        return undefined;
      }
      const since = now();
      try {
        const facts = factsUnder(policy.schema);
        if (policy.costOf(facts) > MAX_COST) {
          counts.skipped += 1;
          return undefined;
        }
        counts.compared += 1;
        const { code, rule } = decide(policy, facts);
        if (code === decision.code) return undefined;
        counts.disagreed += 1;
        return { policy: policy.digest, code, rule };
      } catch (error) {
        counts.failed += 1;
        // Logged once per policy; the counter has the rest.
        if (warned !== policy)
          log.warn(
            { digest: policy.digest, error: causeOf(error) },
            'the shadow policy in SHADOW_POLICY_DIR threw on a decision (logged once); live decisions are not affected',
          );
        warned = policy;
        return undefined;
      } finally {
        budget.spend(now() - since);
      }
    },
  };
}

/** A token bucket of milliseconds: a slow policy evaluates fewer decisions instead of delaying them all. */
function createTimeBudget(now: () => number) {
  let saved = SAVED_MS;
  let at = now();
  return {
    left: (): boolean => {
      const moment = now();
      saved = Math.min(SAVED_MS, saved + (moment - at) * SHARE);
      at = moment;
      return saved > 0;
    },
    spend: (ms: number): void => {
      saved -= ms;
    },
  };
}

const causeOf = (error: unknown): unknown => (error instanceof Failure ? (error.cause ?? error) : error);

export const shadowMetrics = (counts: () => ShadowCounts): Metric[] => [
  counter(
    'shadow_decisions_total',
    'Decisions that the shadow policy was asked about, by outcome.',
    () => sampleEach({ ...counts() }, (count) => count),
    ['outcome'],
  ),
];
