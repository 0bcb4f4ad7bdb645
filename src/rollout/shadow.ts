/**
 * A candidate policy beside the live one: it is asked the same questions, and nobody acts on its answers. Where they
 * differ, that is counted, and recorded with the decision.
 */

import { Failure } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Decision, Policy } from '../policy/decide.ts';
import type { Facts } from '../policy/facts.ts';
import { memoizedDecide } from '../policy/memo.ts';

/** What a candidate would have decided instead. */
export interface ShadowDecision {
  /** Digest of the candidate. */
  readonly policy: string;
  readonly code: string;
  readonly rule: string;
}

export interface ShadowCounts {
  /** Decisions that the candidate was asked about. */
  readonly compared: number;
  /** Those of them that it would have given another code. */
  readonly disagreed: number;
  /** Those on which it threw. */
  readonly failed: number;
  /** Decisions that it was not asked about, since it had taken its share of the time. */
  readonly skipped: number;
}

export interface Shadow {
  /** What the candidate decides, where that is another code. Never throws, and never takes more than its share of the time. */
  readonly compare: (facts: Facts, decision: Decision) => ShadowDecision | undefined;
  readonly counts: () => ShadowCounts;
}

/** The part of the time that a candidate may take, and the milliseconds that it may save up for a burst. */
const SHARE = 0.05;
const SAVED_MS = 20;
/** What one evaluation may cost, in units of about 20 ns: 5 ms, for which everybody in the process waits. */
const MAX_COST = 250_000;

/** Asks `candidate()`, the policy that is on trial now; undefined: none. */
export function createShadow(candidate: () => Policy | undefined, log: Log, now = () => performance.now()): Shadow {
  const counts = { compared: 0, disagreed: 0, failed: 0, skipped: 0 };
  const allowance = createAllowance(now);
  const decide = memoizedDecide();
  let told: Policy | undefined;

  return {
    counts: () => ({ ...counts }),
    compare: (facts, decision) => {
      const policy = candidate();
      if (policy === undefined) return undefined;
      if (!allowance.left() || policy.costOf(facts) > MAX_COST) {
        counts.skipped += 1;
        return undefined;
      }
      const since = now();
      try {
        counts.compared += 1;
        const { code, rule } = decide(policy, facts);
        if (code === decision.code) return undefined;
        counts.disagreed += 1;
        return { policy: policy.digest, code, rule };
      } catch (error) {
        counts.failed += 1;
        // Once for each candidate: the counter has the rest.
        if (told !== policy) log.warn({ digest: policy.digest, error: causeOf(error) }, 'the shadow policy failed');
        told = policy;
        return undefined;
      } finally {
        allowance.spend(now() - since);
      }
    },
  };
}

/** Time is earned as it passes, and spent on comparing: a slow candidate is asked less often, not waited for. */
function createAllowance(now: () => number) {
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
