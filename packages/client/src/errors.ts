/** The four ways in which a call fails. A denial is none of them: it is a value. */

/** A fault of a question: where it is, and what to change. */
export interface Issue {
  readonly path: string;
  readonly message: string;
}

export interface ErrorDetails {
  /** Of the service's failure, docs/errors.md; absent: no such answer came. */
  readonly code?: string | undefined;
  /** The HTTP status that came, if any. */
  readonly status?: number | undefined;
  readonly requestId: string;
  readonly issues?: readonly Issue[] | undefined;
  readonly retryAfterSeconds?: number | undefined;
  readonly cause?: unknown;
}

/** What the four have in common. None of them holds a key, a token or the question. */
export abstract class AuthzError extends Error {
  /** Of the service's failure (docs/errors.md), such as FORBIDDEN; undefined: no such answer came. */
  readonly code: string | undefined;
  /** The HTTP status that came, if any. */
  readonly status: number | undefined;
  /** The X-Request-Id of the call. Give it to whoever runs the service. */
  readonly requestId: string;
  /** The faults of a question. */
  readonly issues: readonly Issue[];
  readonly retryAfterSeconds: number | undefined;

  constructor(message: string, { code, status, requestId, issues = [], retryAfterSeconds, cause }: ErrorDetails) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.status = status;
    this.requestId = requestId;
    this.issues = issues;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

/** The service cannot be reached, says that it cannot answer, or what came is no answer of it. Refuse your client with a 503. */
export class Unavailable extends AuthzError {
  override readonly name = 'Unavailable';
}

/** There was no answer within the deadline, ours or the service's own. Refuse your client with a 503. */
export class TimedOut extends AuthzError {
  override readonly name = 'TimedOut';
}

/** The caller token is not valid, or may not do this. Refuse your client with a 503; mend the token. */
export class NotPermitted extends AuthzError {
  override readonly name = 'NotPermitted';
}

/** The service refuses the request as it is: `issues` and the message say what to change. */
export class BadQuestion extends AuthzError {
  override readonly name = 'BadQuestion';
}

/** Every failure of the service, with the status that it comes with, and what it is here. */
export const FAILURES: Readonly<
  Record<string, readonly [status: number, kind: new (message: string, details: ErrorDetails) => AuthzError]>
> = {
  INVALID_REQUEST: [400, BadQuestion],
  UNAUTHENTICATED: [401, NotPermitted],
  FORBIDDEN: [403, NotPermitted],
  NOT_FOUND: [404, BadQuestion],
  METHOD_NOT_ALLOWED: [405, BadQuestion],
  CONFLICT: [409, BadQuestion],
  PRECONDITION_FAILED: [412, BadQuestion],
  PAYLOAD_TOO_LARGE: [413, BadQuestion],
  UNSUPPORTED_MEDIA_TYPE: [415, BadQuestion],
  TOO_MANY_REQUESTS: [429, NotPermitted],
  INTERNAL: [500, Unavailable],
  UNAVAILABLE: [503, Unavailable],
  DEADLINE_EXCEEDED: [504, TimedOut],
};
