/** The one shape of every body: Iqra's `Success`, `Code`, `Message`, and our `Data`. */

import type { Answer } from '../authorize.ts';
import type { Failure } from '../errors.ts';

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

/** The rest of many faults tells nobody anything more, and a reply must not outgrow its request. */
const MAX_ISSUES = 100;

export const failureReply = ({ code, message, issues }: Failure): Reply => ({
  Success: false,
  Code: code,
  Message: message,
  ...(issues && { Data: { issues: issues.slice(0, MAX_ISSUES) } }),
});

/** Codes of answers that the key itself is meant to hear of; to a denial for another reason, how often is no matter. */
const TELLS_LIMIT: ReadonlySet<string> = new Set(['OK', 'RATE_LIMITED']);

function limitData({ code, rateLimit }: Answer): object | undefined {
  if (!rateLimit || !TELLS_LIMIT.has(code)) return undefined;
  const { limit, remaining, resetSeconds } = rateLimit;
  return {
    rateLimit: { limit, remaining, resetSeconds },
    ...(code === 'RATE_LIMITED' && { retryAfterSeconds: resetSeconds }),
  };
}

/** A decision: the HTTP status is 200 whatever it says; `Data.status` is for the calling service's own client. */
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
