/** The shapes of questions and answers. Names of fields are those of docs/http-api.md, so that one page explains both. */

import type { Freezes, Keys } from './resource-types.ts';

/** What is known of the client's request. Networks of the policy look at `ip`; the rest is kept in the log. */
export interface Context {
  /** IPv4 or IPv6, without a zone. */
  readonly ip?: string | undefined;
  /** At most 512 characters. */
  readonly userAgent?: string | undefined;
  /** At most 128 characters: the id of the client's request, not of this question. */
  readonly requestId?: string | undefined;
  /** What `asked` in facts.yaml of the live policy declares. */
  readonly attributes?: Readonly<Record<string, string | boolean>> | undefined;
}

/** May this key do this action on this business? */
export interface Question {
  /** The client's Authorization header as it came, such as "Token iqra_...". Neither this nor `apiKey` is a question too: it is denied. */
  readonly authorization?: string | null | undefined;
  /** The key alone. Not together with `authorization`. */
  readonly apiKey?: string | null | undefined;
  /** Lower-case words joined by colons: `call:create`. */
  readonly action: string;
  /** The business that the action is on; absent or null: none. */
  readonly businessId?: string | number | null | undefined;
  readonly context?: Context | undefined;
}

/** How the key stands once this question is counted. */
export interface RateLimit {
  /** Requests that a window lets through. */
  readonly limit: number;
  readonly remaining: number;
  /** Until the window ends. */
  readonly resetSeconds: number;
}

/** What a decision is about, and how it was come to. */
export interface DecisionData {
  /** Of the decision in the log. */
  readonly decisionId: string;
  /** The HTTP status for your own client. */
  readonly status: number;
  /** The row of the policy that decided. */
  readonly rule: string;
  /** The digest of the policy. */
  readonly policy: string;
  /** null: the key is not known. */
  readonly apiKeyId: string | null;
  readonly userId: string | null;
  readonly businessId: string | null;
  readonly action: string;
  /** With OK and RATE_LIMITED. */
  readonly rateLimit?: RateLimit | undefined;
  /** With RATE_LIMITED: for the Retry-After of your own client. */
  readonly retryAfterSeconds?: number | undefined;
}

/** The codes of the shipped policy but OK. A policy may have others: see `Denied`. */
export type DenialCode =
  | 'INVALID_API_KEY'
  | 'USER_DISABLED'
  | 'RATE_LIMITED'
  | 'PERMISSION_DENIED'
  | 'FROZEN'
  | 'BUSINESS_DISABLED';

interface Answered {
  /** Public: your client may read it. */
  readonly Message: string;
  readonly Data: DecisionData;
  /** X-Request-Id of the question, by which the service's log names it. */
  readonly requestId: string;
}

/** The key may. Nothing else has `allowed: true`. */
export interface Allowed extends Answered {
  readonly allowed: true;
  readonly Success: true;
  readonly Code: 'OK';
  readonly Data: DecisionData & { readonly apiKeyId: string; readonly userId: string };
}

/** The key may not. `Own` names the codes that only your policy has: `createClient<'TRIAL_OVER'>(...)`. */
export interface Denied<Own extends string = never> extends Answered {
  readonly allowed: false;
  readonly Success: false;
  readonly Code: DenialCode | Own;
}

/** A denial is a value; only failures are thrown. */
export type Decision<Own extends string = never> = Allowed | Denied<Own>;

/** What one call may set for itself. */
export interface AskOptions {
  /** Ends the call: it rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** In place of the client's. Milliseconds. */
  readonly deadlineMs?: number | undefined;
  /** Sent as X-Request-Id: 1-128 of A-Z a-z 0-9 . _ : -. Absent: a new UUID. */
  readonly requestId?: string | undefined;
  /** Of the trace that the question belongs to (W3C Trace Context); handed on where it is well formed. */
  readonly traceparent?: string | undefined;
}

/** What asks. A client is one, and so is the double for tests. */
export interface Authorizer<Own extends string = never> {
  /**
   * May this key do this action on this business?
   * @throws Unavailable, TimedOut, NotPermitted, BadQuestion; the reason of `options.signal`
   */
  readonly authorize: (question: Question, options?: AskOptions) => Promise<Decision<Own>>;
  /**
   * The decisions on any number of questions, in their order; asked a hundred at a time, within one deadline. All or none: it throws as
   * `authorize` does, and the issues of a BadQuestion name the question: `requests[117].action`.
   */
  readonly authorizeAll: (questions: readonly Question[], options?: AskOptions) => Promise<Decision<Own>[]>;
}

interface Entity {
  readonly type: string;
  readonly id: string;
  readonly properties?: object | undefined;
}

/** An evaluation of AuthZEN 1.0. */
export interface Evaluation {
  /** `{"type": "credential", "id": "header"}` is whoever `subjectAuthorization` shows. */
  readonly subject: Entity;
  readonly action: { readonly name: string; readonly properties?: object | undefined };
  readonly resource: Entity;
  readonly context?: object | undefined;
}

export interface EvaluateOptions extends AskOptions {
  /** Your client's Authorization header as it came, for the subject that shows its key. */
  readonly subjectAuthorization?: string | undefined;
}

/** The answer of AuthZEN. */
export interface Evaluated {
  /** Nothing but true is a yes. */
  readonly decision: boolean;
  /** `code`, `status`, `decisionId`, `reason_user` and more: docs/authzen.md. */
  readonly context: Readonly<Record<string, unknown>>;
  readonly requestId: string;
}

/** What `onDecision` is told of one question: its decision, or why there is none. */
export type Told = {
  readonly question: Pick<Question, 'action' | 'businessId'>;
  readonly requestId: string;
  /** From the call to its end. */
  readonly milliseconds: number;
} & (
  | { readonly decision: Decision<string>; readonly error?: undefined }
  | { readonly decision?: undefined; readonly error: unknown }
);

/** A client of the service. */
export interface Client<Own extends string = never> extends Authorizer<Own> {
  /** A question in the words of AuthZEN (docs/authzen.md). @throws as `authorize` */
  readonly evaluate: (evaluation: Evaluation, options?: EvaluateOptions) => Promise<Evaluated>;
  readonly keys: Keys;
  readonly freezes: Freezes;
  /** Ends what is under way with Unavailable; calls that come later fail alike. */
  readonly close: () => void;
}
