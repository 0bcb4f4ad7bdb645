/** From a response to an answer of the service, or to one of the four errors. */

import { AuthzError, FAILURES, type Issue, Unavailable } from './errors.ts';
import { discard, isObject, readJson, Unreadable } from './read-json.ts';

/** An answer whose status is 2xx. */
export interface Reply {
  readonly status: number;
  /** Parsed; undefined: there is none (204). */
  readonly body: unknown;
  readonly headers: Headers;
}

/**
 * The answer of a response. INVARIANT: one to another request is none: a decision does not say which key it is on, so what a proxy mixes up
 * would be an allow of somebody else's.
 * @throws Unavailable, TimedOut, NotPermitted, BadQuestion: the service failed, or what came is no answer of it
 */
export async function readReply(response: Response, maxBytes: number, requestId: string): Promise<Reply> {
  const { status, headers } = response;
  if (status === 204) return { status, headers, body: undefined };
  const about = { status, requestId, retryAfterSeconds: secondsToWait(response) };
  try {
    if (status >= 300 && status < 400) {
      discard(response);
      throw new Unavailable(
        `The answer is a redirection (${status}), which is not followed. Give the address behind it as url.`,
        about,
      );
    }
    if (response.ok && (headers.get('x-request-id') ?? requestId) !== requestId) {
      discard(response);
      throw noAnswer('its X-Request-Id is another, which must come back as it was sent', about);
    }
    const body = await readJson(response, maxBytes);
    if (response.ok) return { status, headers, body };
    throw failureOf(body, about) ?? noAnswer('it is no failure of the service', about);
  } catch (cause) {
    if (cause instanceof AuthzError) throw cause;
    if (cause instanceof Unreadable) throw noAnswer(cause.message, about);
    throw new Unavailable('The answer broke off.', { ...about, cause });
  }
}

interface About {
  readonly status: number;
  readonly requestId: string;
  readonly retryAfterSeconds?: number | undefined;
}

/** What came, and why it is no answer; somebody in between may have sent it. */
export const noAnswer = (why: string, about: About): Unavailable =>
  new Unavailable(
    `What came with status ${about.status} is no answer of the service: ${why}. See that url leads to it, and what stands in between.`,
    about,
  );

/**
 * The failure that a body tells; undefined: it tells none. Code and status must belong together, so that what a proxy answers is not taken
 * for the service's word.
 */
function failureOf(body: unknown, about: About): AuthzError | undefined {
  if (!isObject(body)) return undefined;
  const { Success, Code: code, Message: message, Data: data } = body;
  if (Success !== false || typeof code !== 'string' || typeof message !== 'string') return undefined;
  const [status, Kind] = (Object.hasOwn(FAILURES, code) && FAILURES[code]) || [];
  if (!Kind || status !== about.status) return undefined;
  return new Kind(message, { ...about, code, issues: issuesOf(data) });
}

function issuesOf(data: unknown): Issue[] {
  const issues = isObject(data) ? data['issues'] : undefined;
  if (!Array.isArray(issues)) return [];
  return issues.filter(
    (issue): issue is Issue =>
      isObject(issue) && typeof issue['path'] === 'string' && typeof issue['message'] === 'string',
  );
}

/** Retry-After in seconds. A date would have to be compared with the wall clock, which may jump. */
export function secondsToWait({ headers }: Response): number | undefined {
  const value = headers.get('retry-after');
  return value !== null && /^\d{1,6}$/.test(value) ? Number(value) : undefined;
}
