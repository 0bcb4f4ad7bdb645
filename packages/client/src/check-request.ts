/** One check of a request, whatever the framework: from what it brings to the question, and from the decision to a response. */

import { isIP } from 'node:net';
import { BadQuestion } from './errors.ts';
import { type Checked, type Refusal, refusalOfDenial, refusalOfFailure, refusalOfRequest } from './refusal.ts';
import type { Authorizer, Context, Question } from './types.ts';

/** Which question a route asks. */
export interface Mapping<Request> {
  /** Such as `call:create`. */
  readonly action: string;
  /**
   * The business that the handler works on: the name of a parameter of the route, or what reads it from the request. A request that does not
   * say it is refused with a 400. null, or no `business` at all: there is none.
   */
  readonly business?: string | ((request: Request) => string | number | null | undefined) | undefined;
  /** What `asked` in facts.yaml of the policy declares. */
  readonly attributes?: ((request: Request) => Readonly<Record<string, string | boolean>>) | undefined;
}

/** What is read of a request. */
export interface Incoming<Request> {
  readonly request: Request;
  /** Names and values in turns, as they came: `headers` of Node keeps one Authorization of two. */
  readonly rawHeaders: readonly string[];
  /** By the framework, which knows the proxies that it trusts; '' or undefined: there is none. */
  readonly ip: string | undefined;
  /** Whether the client's connection is closed. */
  readonly isGone: boolean;
  readonly params: unknown;
}

type Asks = Pick<Authorizer<string>, 'authorize'>;

/**
 * INVARIANT: it has no refusal only where the decision on the mapped question is `allowed`. @throws what the functions of the mapping throw
 */
export async function checkRequest<Request>(
  client: Asks,
  mapping: Mapping<Request>,
  incoming: Incoming<Request>,
): Promise<Checked> {
  const authorizations = valuesOf(incoming.rawHeaders, 'authorization');
  if (authorizations.length > 1) return refused('Send the Authorization header once.');
  const context = contextOf(incoming);
  if (!context) return refused('The address of the client cannot be read. See what X-Forwarded-For says.');
  const businessId = businessOf(mapping, incoming);
  if (businessId === undefined || !isBusiness(businessId))
    return refused('Name the business, as 1-64 of the characters A-Z a-z 0-9 . _ : -');
  const attributes = mapping.attributes?.(incoming.request);
  const question: Question = {
    authorization: authorizations[0] ?? null,
    action: mapping.action,
    businessId,
    context: { ...context, ...(attributes && { attributes }) },
  };
  const [traceparent, another] = valuesOf(incoming.rawHeaders, 'traceparent');
  try {
    const decision = await client.authorize(question, another === undefined ? { traceparent } : {});
    if (decision.allowed === true && decision.Code === 'OK') return { decision };
    if (decision.allowed === false) return { decision, refusal: refusalOfDenial(decision) };
    throw new TypeError('the client gave what is no decision');
  } catch (error) {
    return { refusal: blamesClient(error) ? refusalOfRequest(messageOf(error)) : refusalOfFailure(error) };
  }
}

const refused = (message: string): { readonly refusal: Refusal } => ({ refusal: refusalOfRequest(message) });

/** Every value of a header, as it came. */
function valuesOf(rawHeaders: readonly string[], name: string): string[] {
  const values: string[] = [];
  for (let at = 0; at < rawHeaders.length; at += 2)
    if (rawHeaders[at]?.toLowerCase() === name) values.push(rawHeaders[at + 1] ?? '');
  return values;
}

/** The business; null: there is none; undefined: the request does not say. */
function businessOf<Request>(
  { business }: Mapping<Request>,
  { request, params }: Incoming<Request>,
): string | number | null | undefined {
  if (business === undefined) return null;
  if (typeof business === 'function') return business(request);
  const value: unknown =
    typeof params === 'object' && params !== null && Object.hasOwn(params, business)
      ? (params as Readonly<Record<string, unknown>>)[business]
      : undefined;
  return typeof value === 'string' ? value : undefined;
}

/** Whether it can be a business, or is none (docs/http-api.md). */
const isBusiness = (id: unknown): boolean =>
  id === null || Number.isSafeInteger(id) || (typeof id === 'string' && /^(?!\.\.?$)[A-Za-z0-9._:-]{1,64}$/.test(id));

/**
 * What is known of the client; undefined: its address cannot be told, so that a row which denies by it would be passed over. A closed connection
 * has none, so a client could hide its own by closing; one over a Unix socket never had any.
 */
function contextOf({ rawHeaders, ip, isGone }: Incoming<unknown>): Context | undefined {
  const [userAgent] = valuesOf(rawHeaders, 'user-agent');
  const [requestId = ''] = valuesOf(rawHeaders, 'x-request-id');
  const address = ip?.replace(/%.*$/, '') || undefined;
  if (address === undefined ? isGone : isIP(address) === 0) return undefined;
  return {
    ...(address !== undefined && { ip: address }),
    ...(userAgent !== undefined && { userAgent: userAgent.slice(0, 512) }),
    ...(/^[A-Za-z0-9._:-]{1,128}$/.test(requestId) && { requestId }),
  };
}

/** What of a question is the client's own words. */
const OF_CLIENT = /^(?:authorization|businessId|context\.(?:ip|userAgent|requestId))$/;

/** Whether the service refuses the question for nothing but what the client wrote: nobody here could mend it. */
const blamesClient = (error: unknown): error is BadQuestion =>
  error instanceof BadQuestion &&
  error.code === 'INVALID_REQUEST' &&
  error.issues.length > 0 &&
  error.issues.every(({ path }) => OF_CLIENT.test(path));

const messageOf = ({ issues }: BadQuestion): string =>
  `The request cannot be checked: ${issues.map(({ path, message }) => `${path} ${message}`).join('; ')}.`;
