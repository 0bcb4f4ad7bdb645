/** The path of a decision: load the facts, count the request, decide, record, and only then answer. */

import type { Context, Entry } from './audit/record/entry.ts';
import type { RecordEntries } from './audit/record/recorder.ts';
import type { Deadline } from './deadline.ts';
import type { Loaded, LoadFacts, Question } from './facts/load.ts';
import type { Usage } from './keys/usage.ts';
import { type Limits, type RateLimitState, withLimit } from './limits/limits.ts';
import type { Policy } from './policy/decide.ts';
import type { Facts } from './policy/facts.ts';
import { memoizedDecide } from './policy/memo.ts';
import type { Effect } from './policy/row.ts';
import type { Shadow } from './rollout/shadow.ts';
import { uuidv7 } from './uuid.ts';

export interface AuthorizeRequest extends Question {
  /** What the client gave where it holds no key that could be looked up. */
  readonly otherCredential?: string | undefined;
  readonly context: Context;
}

export interface Answer {
  readonly decisionId: string;
  readonly effect: Effect;
  readonly code: string;
  /** The HTTP status that the calling service should answer its own client with. */
  readonly status: number;
  /** For that client's eyes. */
  readonly message: string;
  readonly rule: string;
  /** Digest of the policy that decided. */
  readonly policy: string;
  readonly facts: Facts;
  /** Of the key, once this request was counted; undefined when it was not: its key or user is not active. */
  readonly rateLimit: RateLimitState | undefined;
}

/**
 * Answers in the order of the requests: one load and one commit for all of them.
 * @throws Failure: then none of them is answered. A denial is not thrown, it is an answer.
 */
export type Authorize = (
  callerId: string,
  requests: readonly AuthorizeRequest[],
  deadline: Deadline,
) => Promise<Answer[]>;

interface Parts {
  readonly loadFacts: LoadFacts;
  readonly consume: Limits['consume'];
  /** The policy that is live now. */
  readonly livePolicy: () => Policy;
  /** Asks the policy on trial, if there is one. */
  readonly compare: Shadow['compare'];
  readonly record: RecordEntries;
  /** What tells one bad credential from another in the log. */
  readonly fingerprintOf: (credential: string) => string;
  /** Told of every use of an active key, once it is recorded. */
  readonly noteUse: Usage['note'];
}

export function authorizer(parts: Parts): Authorize {
  const { loadFacts, consume, livePolicy, record, noteUse } = parts;
  const decide = memoizedDecide();
  return async (callerId, requests, deadline) => {
    const since = performance.now();
    const loaded = await loadFacts(requests, deadline);
    const rateLimits = await consume(loaded);
    // One policy for the whole batch, whatever goes live meanwhile.
    const policy = livePolicy();
    const answers = loaded.map(({ facts, reasons }, index) =>
      answerOf(policy, decide, withLimit(facts, rateLimits[index]), reasons, rateLimits[index]),
    );
    const durationUs = Math.round((performance.now() - since) * 1000);
    const entries = answers.map((answer, index) => ({
      ...entryOf(parts, answer, requests[index]),
      callerId,
      durationUs,
    }));
    await record(entries, deadline);
    for (const { facts, redigest } of loaded) {
      if (facts.key.status === 'active') noteUse({ keyId: facts.key.id, at: Date.now(), redigest });
    }
    return answers;
  };
}

function answerOf(
  policy: Policy,
  decide: ReturnType<typeof memoizedDecide>,
  facts: Facts,
  reasons: Loaded['reasons'],
  rateLimit: RateLimitState | undefined,
): Answer {
  const { effect, code, rule } = decide(policy, facts);
  const means = policy.codes.get(code);
  if (!means) throw new Error(`the policy has no code ${code}`);
  const reason = means.reason && reasons[means.reason];
  const message = reason === undefined ? means.message : `${means.message} ${reason}`;
  const { digest } = policy;
  return { decisionId: uuidv7(), effect, code, rule, status: means.status, message, policy: digest, facts, rateLimit };
}

/** What the log keeps of an answer, but for who asked and how long it took. */
function entryOf(
  { compare, fingerprintOf }: Pick<Parts, 'compare' | 'fingerprintOf'>,
  { decisionId, effect, code, rule, policy, facts }: Answer,
  { apiKey, otherCredential, context = {} }: Partial<AuthorizeRequest> = {},
): Omit<Entry, 'callerId' | 'durationUs'> {
  const decision = { effect, code, rule };
  const unknown = facts.key.status === 'unknown' ? apiKey || otherCredential : undefined;
  const fingerprint = unknown ? fingerprintOf(unknown) : undefined;
  return { id: decisionId, facts, decision, policy, shadow: compare(facts, decision), context, fingerprint };
}
