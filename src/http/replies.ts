/** The shape of every body: Iqra's published `Success`, `Code` and `Message`, and this service's `Data`. */

import type { Answer } from '../authorize.ts';
import { type Failure, MAX_ISSUES } from '../errors.ts';
import type { Facts } from '../policy/facts.ts';

export interface Reply {
  readonly Success: boolean;
  readonly Code: string;
  readonly Message: string;
  readonly Data?: object;
}

export const success = (message: string, data?: object): Reply => ({
  Success: true,
  Code: 'OK',
  Message: message,
  ...(data && { Data: data }),
});

export const failureReply = ({ code, message, issues }: Failure): Reply => ({
  Success: false,
  Code: code,
  Message: message,
  ...(issues && { Data: { issues: issues.slice(0, MAX_ISSUES) } }),
});

/** Only these codes carry rate-limit data. */
const CODES_WITH_LIMIT: ReadonlySet<string> = new Set(['OK', 'RATE_LIMITED']);

/** What of the rate limit goes with an answer. */
export function limitData({ code, rateLimit }: Answer): object | undefined {
  if (!rateLimit || !CODES_WITH_LIMIT.has(code)) return undefined;
  const { limit, remaining, resetSeconds } = rateLimit;
  return {
    rateLimit: { limit, remaining, resetSeconds },
    ...(code === 'RATE_LIMITED' && { retryAfterSeconds: resetSeconds }),
  };
}

/** The text of a reply around the decision's id and in front of the rate limit, and what it was made of. */
interface Fragments extends Pick<Answer, 'code' | 'message' | 'rule' | 'policy'> {
  readonly before: string;
  readonly after: string;
}

/** By the facts, which are the same object where the same question was answered before (verdicts.ts). */
const fragments = new WeakMap<Facts, Fragments>();

function fragmentsOf({ effect, code, status, message, rule, policy, facts }: Answer): Fragments {
  const known = fragments.get(facts);
  if (known && known.code === code && known.message === message && known.rule === rule && known.policy === policy)
    return known;
  const head = JSON.stringify({ Success: effect === 'allow', Code: code, Message: message });
  const rest = JSON.stringify({
    status,
    rule,
    policy,
    apiKeyId: facts.key.id || null,
    userId: facts.user.id || null,
    businessId: facts.target.id || null,
    action: facts.request.action,
  });
  const before = `${head.slice(0, -1)},"Data":{"decisionId":"`;
  const after = `",${rest.slice(1, -1)}`;
  const made = { code, message, rule, policy, before, after };
  fragments.set(facts, made);
  return made;
}

/**
 * The reply of a decision, as text. HTTP's status is 200 for every decision; `Data.status` is for the calling service's client. Put together
 * of two texts that are made once for such questions, and numbers and an id, which need no escapes.
 */
export function decisionJson(answer: Answer): string {
  const { before, after } = fragmentsOf(answer);
  return `${before}${answer.decisionId}${after}${limitJson(answer)}}}`;
}

/** `limitData` as text behind other members. */
function limitJson({ code, rateLimit }: Answer): string {
  if (!rateLimit || !CODES_WITH_LIMIT.has(code)) return '';
  const { limit, remaining, resetSeconds } = rateLimit;
  const state = `,"rateLimit":{"limit":${limit},"remaining":${remaining},"resetSeconds":${resetSeconds}}`;
  return code === 'RATE_LIMITED' ? `${state},"retryAfterSeconds":${resetSeconds}` : state;
}

/** The reply of a batch, as text. */
export function decisionsJson(answers: readonly Answer[]): string {
  const head = JSON.stringify(success('Every request was decided.'));
  return `${head.slice(0, -1)},"Data":{"decisions":[${answers.map(decisionJson).join()}]}}`;
}
