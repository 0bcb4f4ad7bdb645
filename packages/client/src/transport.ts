/** Sends a call: the token as it is now, one deadline, and at most two tries. */

import { NotPermitted, Unavailable } from './errors.ts';
import { discard } from './read-json.ts';
import { type Reply, readReply, secondsToWait } from './read-reply.ts';
import { type Limits, pause, type Term, within } from './within.ts';

/** What is sent. */
export interface Call {
  readonly method: string;
  /** Behind the URL of the service: `/authorize`. */
  readonly path: string;
  /** JSON. */
  readonly body?: string | undefined;
  readonly headers?: Headed | undefined;
  /** The most that an answer may have. */
  readonly maxBytes: number;
  /** Whether to do it twice does no harm. What is not is tried again only where nobody can have read it. */
  readonly repeatable: boolean;
}

/** How it is sent. */
export interface Sending extends Term {
  readonly traceparent?: string | undefined;
}

export interface Transport {
  /** @throws Unavailable, TimedOut, NotPermitted, BadQuestion; the reason of the signal */
  readonly send: (call: Call, sending: Sending) => Promise<Reply>;
  /** Ends what is under way, with Unavailable, and lets nothing begin. */
  readonly close: () => void;
}

/** A caller token, or what gives the one that holds now: it is asked before each call. */
export type Token = string | (() => string | Promise<string>);

export interface TransportOptions {
  /** Without a slash at the end; the first is asked first. */
  readonly urls: readonly string[];
  readonly token: Token;
  readonly fetch: typeof globalThis.fetch;
}

type Headed = Readonly<Record<string, string>>;

/** The share of the time left that a first try has to begin an answer, where there is another address to go to. */
const FIRST_SHARE = 0.6;

/** What became of a try. */
type Outcome =
  | { readonly response: Response; readonly cause?: undefined }
  | { readonly response?: undefined; readonly cause: unknown };

export function createTransport({ urls, token, fetch }: TransportOptions): Transport {
  /** What ends each call under way. */
  const underWay = new Set<() => void>();
  let closed = false;
  /** The address that answered last: there the next call begins. */
  let preferred = 0;

  async function send(call: Call, sending: Sending): Promise<Reply> {
    const { requestId } = sending;
    if (closed) throw closedError(requestId);
    return within(sending, async (limits) => {
      const end = (): void => limits.end(closedError(requestId));
      underWay.add(end);
      try {
        const authorization = `Bearer ${await tokenNow(token, requestId)}`;
        const response = await inTwoTries(call, { ...headersOf(call, sending), authorization }, requestId, limits);
        return await readReply(response, call.maxBytes, requestId);
      } finally {
        underWay.delete(end);
      }
    });
  }

  /** INVARIANT: at most two tries, and the second only where no answer was begun, or a 503 or 504 asks for it. */
  async function inTwoTries(call: Call, headers: Headed, requestId: string, limits: Limits): Promise<Response> {
    const at = preferred;
    const another = urls.length > 1 && call.repeatable;
    const first = await tryAt(at, call, headers, limits, another ? limits.msLeft() * FIRST_SHARE : undefined);
    const wait = msBeforeAnother(first, call, limits);
    if (wait === undefined) return answered(first, at, requestId);
    if (first.response) discard(first.response);
    if (wait > 0) await pause(wait, limits);
    const next = (at + 1) % urls.length;
    return answered(await tryAt(next, call, headers, limits), next, requestId);
  }

  /** The head of the response, which must be there within `headMs`. */
  async function tryAt(at: number, call: Call, headers: Headed, limits: Limits, headMs?: number): Promise<Outcome> {
    const silence = headMs === undefined ? undefined : new AbortController();
    const timer = silence && setTimeout(() => silence.abort(new Error('no answer was begun in time')), headMs);
    try {
      const response = await fetch(`${urls[at]}${call.path}`, {
        method: call.method,
        headers,
        redirect: 'manual',
        signal: silence ? AbortSignal.any([limits.signal, silence.signal]) : limits.signal,
        ...(call.body !== undefined && { body: call.body }),
      });
      return { response };
    } catch (cause) {
      return { cause };
    } finally {
      clearTimeout(timer);
    }
  }

  function answered({ response, cause }: Outcome, at: number, requestId: string): Response {
    preferred = response && response.status < 500 ? at : (at + 1) % urls.length;
    if (response) return response;
    const code = codeOf(cause);
    throw new Unavailable(
      `${urls[at]} gives no answer${code && ` (${code})`}. See that the service runs there, and that this machine may reach it.`,
      { requestId, cause },
    );
  }

  const close = (): void => {
    closed = true;
    for (const end of underWay) end();
  };
  return { send, close };
}

const closedError = (requestId: string): Unavailable => new Unavailable('This client is closed.', { requestId });

const TRACEPARENT = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;

const headersOf = ({ body, headers }: Call, { requestId, traceparent }: Sending): Headed => ({
  accept: 'application/json',
  // What is packed could unpack to any size.
  'accept-encoding': 'identity',
  'x-request-id': requestId,
  ...(body !== undefined && { 'content-type': 'application/json' }),
  ...(traceparent !== undefined && TRACEPARENT.test(traceparent) && { traceparent }),
  ...headers,
});

/** Whether it can stand in a header. */
export const isToken = (value: unknown): value is string => typeof value === 'string' && /^[!-~]+$/.test(value);

/** @throws Unavailable: the function failed. NotPermitted: it gave no token */
async function tokenNow(token: Token, requestId: string): Promise<string> {
  if (typeof token === 'string') return token;
  let given: unknown;
  try {
    given = await token();
  } catch (cause) {
    throw new Unavailable('The function that gives the caller token failed.', { requestId, cause });
  }
  if (isToken(given)) return given;
  throw new NotPermitted('The function that gives the caller token must give one, such as iqra_svc_...', { requestId });
}

/** Codes of connections that were never made: nobody can have read what was to be sent. */
const UNSENT: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
]);

/** How long to wait before the second try; undefined: there is none. */
function msBeforeAnother({ response, cause }: Outcome, call: Call, limits: Limits): number | undefined {
  if (limits.signal.aborted) return undefined;
  if (!response) return UNSENT.has(codeOf(cause)) || (call.repeatable && !isBegun(cause)) ? 0 : undefined;
  if (!call.repeatable || (response.status !== 503 && response.status !== 504)) return undefined;
  const wait = (secondsToWait(response) ?? Number.POSITIVE_INFINITY) * 1000;
  return wait < limits.msLeft() ? wait : undefined;
}

/**
 * Whether something came that is no head: junk, or a switch of protocols. Of a head that breaks off in its midst `fetch` does not tell, as
 * of a connection that was closed while it was idle.
 */
function isBegun(thrown: unknown): boolean {
  const { code, message } = reasonOf(thrown) ?? {};
  return (
    code !== undefined && (code.startsWith('HPE_') || (code === 'UND_ERR_SOCKET' && message !== 'other side closed'))
  );
}

/** The code that says why a connection failed; '': none does. */
const codeOf = (thrown: unknown): string => reasonOf(thrown)?.code ?? '';

/** The error with a code, which `fetch` wraps. */
function reasonOf(thrown: unknown): { readonly code: string; readonly message?: unknown } | undefined {
  if (typeof thrown !== 'object' || thrown === null) return undefined;
  const { code, message, cause } = thrown as {
    readonly code?: unknown;
    readonly message?: unknown;
    readonly cause?: unknown;
  };
  return typeof code === 'string' ? { code, message } : reasonOf(cause);
}
