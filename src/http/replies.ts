/** The shape of every body: Iqra's published `Success`, `Code` and `Message`, and this service's `Data`. */

import type { Answer } from '../authorize.ts';
import { type Failure, MAX_ISSUES } from '../errors.ts';

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

/** The reply of a decision. HTTP's status is 200 for every decision; `Data.status` is for the calling service's client. */
export const decisionReply = (answer: Answer): Reply => {
  const { decisionId, effect, code, status, message, rule, policy, facts } = answer;
  return {
    Success: effect === 'allow',
    Code: code,
    Message: message,
    Data: {
      decisionId,
      status,
      rule,
      policy,
      apiKeyId: facts.key.id || null,
      userId: facts.user.id || null,
      businessId: facts.target.id || null,
      action: facts.request.action,
      ...limitData(answer),
    },
  };
};

/** As text. */
export const decisionJson = (answer: Answer): string => JSON.stringify(decisionReply(answer));

/** The reply of a batch, as text. */
export const decisionsJson = (answers: readonly Answer[]): string =>
  JSON.stringify(success('Every request was decided.', { decisions: answers.map(decisionReply) }));
