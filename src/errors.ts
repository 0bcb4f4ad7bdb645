/**
 * The catalogue of failures, with their HTTP statuses and exit codes. A denial is a value (policy/decide.ts); anything else
 * that prevents an answer is thrown as a Failure (of a request or command) or a Refusal (of the operator's input).
 */

interface FailureKind {
  /** The HTTP status of the reply. */
  readonly status: number;
  /** The exit code of a command that ends with it: 1 refused, 3 failure. */
  readonly exitCode: 1 | 3;
  /** The public message, unless the thrower gives another. */
  readonly message: string;
}

export const FAILURES = {
  INVALID_REQUEST: {
    status: 400,
    exitCode: 1,
    message: 'The request is not valid. Each of its issues says what to change.',
  },
  UNAUTHENTICATED: {
    status: 401,
    exitCode: 1,
    message: 'Send a live caller token as "Authorization: Bearer iqra_svc_...".',
  },
  FORBIDDEN: { status: 403, exitCode: 1, message: "The caller's token lacks the scope that this request needs." },
  NOT_FOUND: {
    status: 404,
    exitCode: 1,
    message: 'There is nothing at this address. See docs/http-api.md for the routes.',
  },
  METHOD_NOT_ALLOWED: {
    status: 405,
    exitCode: 1,
    message: 'This address does not answer this method. The Allow header names those that it does.',
  },
  CONFLICT: { status: 409, exitCode: 1, message: 'The request conflicts with the present state of the resource.' },
  PRECONDITION_FAILED: {
    status: 412,
    exitCode: 1,
    message: 'The resource has changed since you read it. Read it again.',
  },
  PAYLOAD_TOO_LARGE: { status: 413, exitCode: 1, message: 'The body is too large. Send a smaller one.' },
  UNSUPPORTED_MEDIA_TYPE: {
    status: 415,
    exitCode: 1,
    message: 'Send the body as "Content-Type: application/json" in UTF-8, without a Content-Encoding.',
  },
  TOO_MANY_REQUESTS: {
    status: 429,
    exitCode: 1,
    message: 'Too many requests from this address had no live caller token. Ask again with one, or after Retry-After.',
  },
  UNAVAILABLE: {
    status: 503,
    exitCode: 3,
    message: 'The service cannot answer right now. Ask again after Retry-After.',
  },
  DEADLINE_EXCEEDED: { status: 504, exitCode: 3, message: 'The question was not answered in time. Ask again.' },
  INTERNAL: { status: 500, exitCode: 3, message: 'Something failed inside the service. Its log says more.' },
} as const satisfies Record<string, FailureKind>;

export type FailureCode = keyof typeof FAILURES;

/** Of one failure, as many are answered: what a body repeats a thousand times need not be said as often. */
export const MAX_ISSUES = 100;

/** One fault of an input: its path, such as `requests[3].action` (empty: the whole input), and what to do. */
export interface Issue {
  readonly path: string;
  readonly message: string;
}

interface FailureDetails {
  readonly issues?: readonly Issue[];
  readonly retryAfterSeconds?: number;
  readonly allow?: readonly string[];
  readonly cause?: unknown;
}

/**
 * A request or command that failed. `message` is public: it is for the caller, and holds no secret. What the operator needs
 * goes into `cause`, which is logged and never sent.
 */
export class Failure extends Error {
  readonly code: FailureCode;
  readonly issues: readonly Issue[] | undefined;
  readonly retryAfterSeconds: number | undefined;
  readonly allow: readonly string[] | undefined;

  constructor(code: FailureCode, message?: string, details: FailureDetails = {}) {
    super(message ?? FAILURES[code].message, { cause: details.cause });
    this.name = 'Failure';
    this.code = code;
    this.issues = details.issues;
    this.retryAfterSeconds = details.retryAfterSeconds ?? (code === 'UNAVAILABLE' ? 1 : undefined);
    this.allow = details.allow;
  }

  get status(): number {
    return FAILURES[this.code].status;
  }

  get exitCode(): number {
    return FAILURES[this.code].exitCode;
  }
}

/**
 * Input of the operator that cannot be used: settings, a policy folder, a document to import, a database that is newer than
 * the code. Ends the command with exit code 1; the message says what to change.
 */
export class Refusal extends Error {
  readonly exitCode = 1;

  constructor(message: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'Refusal';
  }
}

/** A thrown value as a Failure: anything but a Failure becomes INTERNAL, with the value as its cause. */
export function asFailure(thrown: unknown): Failure {
  return thrown instanceof Failure ? thrown : new Failure('INTERNAL', undefined, { cause: thrown });
}
