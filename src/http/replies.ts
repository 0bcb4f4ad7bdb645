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

/** A decision: the HTTP status is 200 whatever it says; `Data.status` is for the calling service's own client. */
export const decisionReply = ({ decisionId, effect, code, status, message, rule, policy, facts }: Answer): Reply => ({
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
  },
});
