/** Authenticates the caller of a request by its bearer token, and limits failures by address. */

import type { IncomingMessage } from 'node:http';
import { type Awaitable, after } from '../awaitable.ts';
import type { Deadline } from '../deadline.ts';
import { outOfBounds } from '../directory/bounds.ts';
import type { Caller, Scope } from '../directory/find-caller.ts';
import { Failure } from '../errors.ts';
import type { Service } from '../service.ts';
import { addressOf } from './address.ts';
import { noteKnown } from './connections.ts';
import { isForGateway } from './context.ts';
import { failuresByAddress } from './failed-authentications.ts';

/** A scope; of several, any will do. */
export type Scopes = Scope | readonly Scope[];

const listOf = (scopes: Scopes): readonly Scope[] => (typeof scopes === 'string' ? [scopes] : scopes);
const hasAny = (caller: Caller, scopes: Scopes): boolean =>
  typeof scopes === 'string' ? caller.scopes.has(scopes) : scopes.some((scope) => caller.scopes.has(scope));

/** Of a caller without that scope, or without any of several. */
export const lacking = ({ id }: Caller, scopes: Scopes): Failure =>
  new Failure('FORBIDDEN', `The caller ${id} lacks the scope ${listOf(scopes).join(' or ')}. Use a token that has it.`);

export interface Authenticate {
  /**
   * The caller of the bearer token, at once where it is known.
   * @throws Failure UNAUTHENTICATED, or TOO_MANY_REQUESTS for an address with too many of these; FORBIDDEN without the scope, or for a
   * bound caller where `heedsBounds` is false; and what finding a caller fails with
   */
  (request: IncomingMessage, scope: Scopes, heedsBounds: boolean, deadline: Deadline): Awaitable<Caller>;
  /** The caller, where it is known now and may ask. Refuses nobody, and counts nothing. */
  readonly known: (request: IncomingMessage, scope: Scopes, heedsBounds: boolean) => Caller | undefined;
}

export function authenticator({ findCaller, config }: Pick<Service, 'findCaller' | 'config'>): Authenticate {
  const { FAILED_AUTHENTICATION_LIMIT: limit, TRUSTED_PROXIES: trusted } = config;
  const secondsToWait = limit === 'none' ? () => undefined : failuresByAddress(limit);
  const refusal = (request: IncomingMessage): Failure => {
    // Nothing was tried where nothing was sent.
    const seconds = credentialsOf(request) ? secondsToWait(addressOf(request, trusted)) : undefined;
    return seconds === undefined
      ? new Failure('UNAUTHENTICATED', isForGateway(request.url) ? UNKNOWN_GATEWAY : undefined)
      : new Failure('TOO_MANY_REQUESTS', undefined, { retryAfterSeconds: seconds });
  };
  const authenticate = (
    request: IncomingMessage,
    scope: Scopes,
    heedsBounds: boolean,
    deadline: Deadline,
  ): Awaitable<Caller> => {
    const token = tokenOf(request);
    // The token first, whatever the address has done: others may share it.
    return after(token === undefined ? undefined : findCaller(token, deadline), (caller) => {
      if (!caller) throw refusal(request);
      noteKnown(request.socket);
      if (!hasAny(caller, scope)) throw lacking(caller, scope);
      if (caller.bounds && !heedsBounds) throw outOfBounds();
      return caller;
    });
  };
  const known = (request: IncomingMessage, scope: Scopes, heedsBounds: boolean): Caller | undefined => {
    const token = tokenOf(request);
    const caller = token === undefined ? undefined : findCaller.known(token);
    if (!caller || !hasAny(caller, scope) || (caller.bounds && !heedsBounds)) return undefined;
    noteKnown(request.socket);
    return caller;
  };
  return Object.assign(authenticate, { known });
}

/** Those that say of a caller that it may not ask, or not now. */
const REFUSALS: ReadonlySet<string> = new Set(['UNAUTHENTICATED', 'FORBIDDEN', 'TOO_MANY_REQUESTS']);

/** Notes a failure that refused a caller, for the events of administration. Nobody was refused who has sent nothing. */
export function noteRefusal(
  { findCaller, refusals, config }: Pick<Service, 'findCaller' | 'refusals' | 'config'>,
  request: IncomingMessage,
  route: string | undefined,
  { code }: Failure,
): void {
  if (!REFUSALS.has(code) || !credentialsOf(request)) return;
  const token = tokenOf(request);
  const caller = token === undefined ? undefined : findCaller.known(token)?.id;
  refusals.note({ caller, address: addressOf(request, config.TRUSTED_PROXIES), code, route });
}

const UNKNOWN_GATEWAY =
  'Let the gateway set the header Iqra-Caller to the caller token that it has, as "Bearer iqra_svc_...".';

/** Where a caller shows its token: Authorization, or where gateways ask, a header that is not their client's. */
const credentialsOf = ({ url, headers }: IncomingMessage): string | undefined =>
  // Repeats of it are one text, which is no token: Node joins them with a space between.
  isForGateway(url) ? (headers['iqra-caller'] as string | undefined) : headers.authorization;

const tokenOf = (request: IncomingMessage): string | undefined =>
  /^bearer ([!-~]+)$/i.exec(credentialsOf(request) ?? '')?.[1];
