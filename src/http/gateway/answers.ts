/** What gateways are answered: a status that they act on, the three public members for their client, and whose request it is for the upstream. */

import type { Answer } from '../../authorize.ts';
import type { Answered } from '../exchange.ts';
import type { Dialect } from './dialects.ts';

/** Names of the headers that tell the upstream whose request it is. */
export const IDENTITY = {
  user: 'X-Iqra-User',
  key: 'X-Iqra-Key',
  business: 'X-Iqra-Business',
  decision: 'X-Iqra-Decision',
} as const;

/** Holds the body of a denial or failure for nginx, which drops the body itself. */
export const BODY_HEADER = 'Iqra-Body';

/** The statuses of denials that every gateway knows what to do with. */
const DENIALS: ReadonlySet<number> = new Set([401, 403, 429]);

interface Public {
  readonly Success: boolean;
  readonly Code: string;
  readonly Message: string;
}

/** JSON of ASCII without control characters: for a header as well as for a body. */
const asciiOf = (reply: Public): string =>
  JSON.stringify(reply).replace(/[^ -~]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);

/** The answer to a decision. */
export function decisionAnswer({ effect, code, status, message, decisionId, facts, rateLimit }: Answer): Answered {
  const json = asciiOf({ Success: effect === 'allow', Code: code, Message: message });
  if (effect === 'allow') {
    // INVARIANT: always all of them, empty where there is nothing to name: Caddy hands on a client's own header where one is missing.
    const headers = {
      [IDENTITY.user]: facts.user.id,
      [IDENTITY.key]: facts.key.id,
      [IDENTITY.business]: facts.target.id,
      [IDENTITY.decision]: decisionId,
    };
    return { status: 200, json, headers };
  }
  const denial = DENIALS.has(status) ? status : 403;
  const headers: Record<string, string> = {};
  if (denial === 401) headers['WWW-Authenticate'] = 'Token';
  if (denial === 429 && rateLimit) headers['Retry-After'] = String(rateLimit.resetSeconds);
  return { status: denial, json, headers };
}

/** The answer to a request that is denied without a decision. */
export const refusalAnswer = (says: string): Answered => ({
  status: 403,
  json: asciiOf({ Success: false, Code: 'PERMISSION_DENIED', Message: says }),
});

/** As the dialect has it. */
export function inDialect(dialect: Dialect, answered: Answered): Answered {
  const { status = 200, reply, headers } = answered;
  if (dialect !== 'nginx' || status === 200) return answered;
  // Of a failure there is the reply.
  const json = answered.json ?? asciiOf(reply as Public);
  return { ...answered, json, headers: { ...headers, [BODY_HEADER]: json } };
}
