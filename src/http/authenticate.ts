/** Authenticates the caller of a request by its bearer token, and limits failures by address. */

import type { IncomingMessage } from 'node:http';
import type { Deadline } from '../deadline.ts';
import { outOfBounds } from '../directory/bounds.ts';
import type { Caller, Scope } from '../directory/find-caller.ts';
import { Failure } from '../errors.ts';
import type { Service } from '../service.ts';
import { addressOf } from './address.ts';
import { noteKnown } from './connections.ts';
import { failuresByAddress } from './failed-authentications.ts';

/**
 * The caller of the bearer token. The promise rejects with Failure UNAUTHENTICATED, or TOO_MANY_REQUESTS for an
 * address with too many of these; FORBIDDEN without the scope, or for a
 * bound caller where `heedsBounds` is false; and what finding a caller fails with.
 */
export type Authenticate = (
  request: IncomingMessage,
  scope: Scope,
  heedsBounds: boolean,
  deadline: Deadline,
) => Promise<Caller>;

export function authenticator({ findCaller, config }: Pick<Service, 'findCaller' | 'config'>): Authenticate {
  const { FAILED_AUTHENTICATION_LIMIT: limit, TRUSTED_PROXIES: trusted } = config;
  const secondsToWait = limit === 'none' ? () => undefined : failuresByAddress(limit);
  const refusal = (request: IncomingMessage): Failure => {
    // Nothing was tried where nothing was sent.
    const seconds = request.headers.authorization ? secondsToWait(addressOf(request, trusted)) : undefined;
    return seconds === undefined
      ? new Failure('UNAUTHENTICATED')
      : new Failure('TOO_MANY_REQUESTS', undefined, { retryAfterSeconds: seconds });
  };
  return async (request, scope, heedsBounds, deadline) => {
    const token = /^bearer ([!-~]+)$/i.exec(request.headers.authorization ?? '')?.[1];
    // The token first, whatever the address has done: others may share it.
    const caller = token === undefined ? undefined : await findCaller(token, deadline);
    if (!caller) throw refusal(request);
    noteKnown(request.socket);
    if (!caller.scopes.has(scope)) {
      throw new Failure('FORBIDDEN', `The caller ${caller.id} lacks the scope ${scope}. Use a token that has it.`);
    }
    if (caller.bounds && !heedsBounds) throw outOfBounds();
    return caller;
  };
}
