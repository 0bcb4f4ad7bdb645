/**
 * The path of a decision: load the facts, count the request against the rate limit, see whether a freeze covers it, decide, record,
 * and only then answer.
 */

import type { Context, Entry } from './audit/record/entry.ts';
import type { RecordEntries } from './audit/record/recorder.ts';
import type { Deadline } from './deadline.ts';
import type { Loaded, LoadFacts, Question } from './facts/load.ts';
import { type InForce, withFreeze } from './freezes/in-force.ts';
import type { Usage } from './keys/usage.ts';
import { type Limits, type RateLimitState, withLimit } from './limits/limits.ts';
import type { Policy } from './policy/decide.ts';
import type { Facts } from './policy/facts.ts';
import { memoizedDecide } from './policy/memo.ts';
import type { Effect } from './policy/row.ts';
import type { Shadow } from './rollout/shadow.ts';
import { uuidv7 } from './uuid.ts';

export interface AuthorizeRequest extends Question {
  /** The client's Authorization header, where it names no API key: logged as a fingerprint. */
  readonly otherCredential?: string | undefined;
  readonly context: Context;
}

export interface Answer {
  readonly decisionId: string;
  readonly effect: Effect;
  readonly code: string;
  /** The HTTP status for the calling service to answer its own client with. */
  readonly status: number;
  /** Public, for that client. */
  readonly message: string;
  readonly rule: string;
  /** Digest of the policy that decided. */
  readonly policy: string;
  readonly facts: Facts;
  /** The key's rate limit after this request; undefined when it was not counted: the key or its user is not active. */
  readonly rateLimit: RateLimitState | undefined;
}

/**
 * Answers in the order of the requests, with one load and one commit for all of them. `callerRequestId` is what the caller calls
 * the request that they came in, for the log.
 * @throws Failure: then none of them is answered. A denial is an answer and is not thrown.
 */
export type Authorize = (
  callerId: string,
  requests: readonly AuthorizeRequest[],
  deadline: Deadline,
  callerRequestId?: string,
) => Promise<Answer[]>;

interface Parts {
  readonly loadFacts: LoadFacts;
  readonly consume: Limits['consume'];
  readonly freezes: Pick<InForce, 'current'>;
  /** The policy that is live now. */
  readonly livePolicy: () => Policy;
  /** Evaluates the shadow policy, if there is one. */
  readonly compare: Shadow['compare'];
  readonly record: RecordEntries;
  /** A keyed hash that tells unknown credentials apart in the log. */
  readonly fingerprintOf: (credential: string) => string;
  /** Called for each use of an active key, once its decision is recorded. */
  readonly noteUse: Usage['note'];
}

export function authorizer(parts: Parts): Authorize {
  const { loadFacts, consume, freezes, livePolicy, record, noteUse } = parts;
  const decide = memoizedDecide();
  return async (callerId, requests, deadline, callerRequestId) => {
    const since = performance.now();
    const loaded = await loadFacts(requests, deadline);
    const rateLimits = await consume(loaded);
    // INVARIANT: the last thing that is awaited before deciding, so that what is held is current when it is used.
    const known = freezes.current(deadline);
    const freezeOf = known instanceof Promise ? await known : known;
    // One policy for the whole batch, though another may go live meanwhile.
    const policy = livePolicy();
    const answers = loaded.map(({ facts, reasons }, index) => {
      const freeze = freezeOf(facts);
      const counted = withFreeze(withLimit(facts, rateLimits[index]), freeze);
      return answerOf(
        policy,
        decide,
        counted,
        { ...reasons, freeze: freeze?.reason },
        rateLimits[index],
        requests[index],
      );
    });
    const durationUs = Math.round((performance.now() - since) * 1000);
    const entries = answers.map((answer, index) => ({
      ...entryOf(parts, answer, requests[index]),
      callerId,
      callerRequestId,
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
  reasons: Loaded['reasons'] & { readonly freeze: string | undefined },
  rateLimit: RateLimitState | undefined,
  request: AuthorizeRequest | undefined,
): Answer {
  const { effect, code, rule } = decide(policy, facts);
  const means = policy.codes.get(code);
  if (!means) throw new Error(`the policy has no code ${code}`);
  const reason = code === 'INVALID_API_KEY' ? wantedForm(request) : means.reason && reasons[means.reason];
  const message = reason === undefined ? means.message : `${means.message} ${reason}`;
  const { digest } = policy;
  return { decisionId: uuidv7(), effect, code, rule, status: means.status, message, policy: digest, facts, rateLimit };
}

/** Which header is wanted, where another one was sent. It depends on that header's text alone, so it tells nothing of any key. */
const wantedForm = ({ apiKey, otherCredential }: Partial<AuthorizeRequest> = {}): string | undefined =>
  apiKey === undefined && otherCredential ? 'Send it as "Authorization: Token <API key>".' : undefined;

/** The log entry of an answer, without the caller, its request and the duration. */
function entryOf(
  { compare, fingerprintOf }: Pick<Parts, 'compare' | 'fingerprintOf'>,
  { decisionId, effect, code, rule, policy, facts }: Answer,
  { apiKey, otherCredential, context = {} }: Partial<AuthorizeRequest> = {},
): Omit<Entry, 'callerId' | 'callerRequestId' | 'durationUs'> {
  const decision = { effect, code, rule };
  const unknown = facts.key.status === 'unknown' ? apiKey || otherCredential : undefined;
  const fingerprint = unknown ? fingerprintOf(unknown) : undefined;
  return { id: decisionId, facts, decision, policy, shadow: compare(facts, decision), context, fingerprint };
}
