/** What the double for tests says of a question: by what it was told to allow, or by rules, in the shapes of the client. */

import { type AuthzError, BadQuestion, type ErrorDetails, NotPermitted, TimedOut, Unavailable } from './errors.ts';
import type { Decision, DecisionData, Evaluation, Question } from './types.ts';

/** What rules say of a question: the `Ruling` of @iqra/authz-policy. */
export interface Ruled
  extends Pick<DecisionData, 'status' | 'rule' | 'policy' | 'apiKeyId' | 'userId' | 'businessId' | 'action'> {
  readonly effect: 'allow' | 'deny';
  readonly code: string;
  readonly message: string;
}

/** What a question must have to be allowed. What is left out may be anything. */
export type Allowance = Partial<Pick<Question, 'authorization' | 'apiKey' | 'action' | 'businessId'>>;

/** The errors of the client. */
export type FailureName = 'Unavailable' | 'TimedOut' | 'NotPermitted' | 'BadQuestion';

const FAILURES: Readonly<
  Record<
    FailureName,
    readonly [kind: new (message: string, details: ErrorDetails) => AuthzError, Partial<ErrorDetails>]
  >
> = {
  Unavailable: [Unavailable, { code: 'UNAVAILABLE', status: 503, retryAfterSeconds: 1 }],
  TimedOut: [TimedOut, { code: 'DEADLINE_EXCEEDED', status: 504 }],
  NotPermitted: [NotPermitted, { code: 'UNAUTHENTICATED', status: 401 }],
  BadQuestion: [
    BadQuestion,
    { code: 'INVALID_REQUEST', status: 400, issues: [{ path: 'action', message: 'as the test wants it' }] },
  ],
};

/** The question that an evaluation comes to: of the key that is shown, on a business or on none. Of anything else, one without a key. */
export function questionOf(
  { subject, action, resource }: Evaluation,
  subjectAuthorization: string | undefined,
): Question {
  const shown = subject.type === 'credential' && subject.id === 'header' && resource.type === 'business';
  return {
    ...(shown && { authorization: subjectAuthorization }),
    action: action.name,
    businessId: resource.type === 'business' ? resource.id : undefined,
  };
}

export function failure(name: FailureName, requestId: string): AuthzError {
  const [Kind, details] = FAILURES[name];
  return new Kind(`The double was told to fail with ${name}.`, { ...details, requestId });
}

/** Of what the service refuses. @throws an Error with `code` and `issues`, as rules throw */
export function refuseFaults({ authorization, apiKey, action }: Question): void {
  const issues = [
    ...((authorization ?? null) !== null && (apiKey ?? null) !== null
      ? [{ path: 'apiKey', message: 'send authorization or apiKey, not both' }]
      : []),
    ...(/^[a-z][a-z0-9_-]*(:[a-z][a-z0-9_-]*)+$/.test(action)
      ? []
      : [{ path: 'action', message: 'must be lower-case words joined by colons, such as call:create' }]),
  ];
  if (issues.length > 0)
    throw Object.assign(new Error('The question is not valid.'), { code: 'INVALID_REQUEST', issues });
}

/** An error of rules as one of the client's: a question that they refuse is a BadQuestion, whatever else they throw is no answer. */
export function asClientError(error: unknown, requestId: string, place: string): AuthzError {
  const {
    code,
    issues = [],
    message,
  } = Object(error) as { code?: unknown; issues?: ErrorDetails['issues']; message?: string };
  if (code !== 'INVALID_REQUEST')
    return new Unavailable(`The rules gave no decision: ${message}`, {
      code: 'UNAVAILABLE',
      status: 503,
      requestId,
      cause: error,
    });
  const placed = issues.map((issue) => ({ ...issue, path: place + issue.path }));
  return new BadQuestion(message ?? '', { code, status: 400, requestId, issues: placed });
}

/** Denies by default. */
export function byAllowances(allowances: readonly Allowance[], question: Question): Ruled {
  const fits = (allowance: Allowance): boolean =>
    (Object.keys(allowance) as (keyof Allowance)[]).every((name) => String(allowance[name]) === String(question[name]));
  const credential = question.authorization || question.apiKey;
  const allowed = Boolean(credential) && allowances.some(fits);
  return {
    ...(allowed
      ? { effect: 'allow', code: 'OK', message: 'The API key may do this.', status: 200, rule: 'allowed-by-test' }
      : {
          effect: 'deny',
          code: 'PERMISSION_DENIED',
          message: 'The API key is not permitted to do this.',
          status: 403,
          rule: 'denied-by-default',
        }),
    policy: 'none: a double of tests',
    apiKeyId: credential ? 'test-key' : null,
    userId: credential ? 'test-user' : null,
    businessId: question.businessId === undefined || question.businessId === null ? null : String(question.businessId),
    action: question.action,
  };
}

/** Nothing is counted here, but an answer has what the service's has. */
const WINDOW = { limit: 600, remaining: 599, resetSeconds: 60 };

export function decisionOf<Own extends string>(
  { effect, code, message, ...ruled }: Ruled,
  requestId: string,
): Decision<Own> {
  const Data: DecisionData = {
    decisionId: crypto.randomUUID(),
    ...ruled,
    ...(code === 'OK' && { rateLimit: WINDOW }),
    ...(code === 'RATE_LIMITED' && { rateLimit: { ...WINDOW, remaining: 0 }, retryAfterSeconds: WINDOW.resetSeconds }),
  };
  const allowed = effect === 'allow' && code === 'OK';
  return { allowed, Success: allowed, Code: code, Message: message, Data, requestId } as Decision<Own>;
}
