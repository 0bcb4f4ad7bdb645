/** What a request carries through the middleware, and who sent it. */

import type { IncomingMessage } from 'node:http';
import { v7 as uuidv7 } from 'uuid';
import type { Deadline } from '../deadline.ts';
import type { Caller, FindCaller, Scope } from '../directory/find-caller.ts';
import { Failure } from '../errors.ts';
import { invalid } from '../json.ts';

export interface State {
  requestId: string;
  deadline: Deadline;
}

/** The id of a request in the logs: the client's own where it is harmless and holds no key, else a new one. */
export const requestIdOf = (request: IncomingMessage): string => {
  const given = request.headers['x-request-id'];
  return typeof given === 'string' && /^(?!.*iqra_)[A-Za-z0-9._:-]{1,128}$/.test(given) ? given : uuidv7();
};

/** The caller whose live token has the scope. @throws Failure INVALID_REQUEST, UNAUTHENTICATED, FORBIDDEN */
export async function authenticate(
  request: IncomingMessage,
  findCaller: FindCaller,
  scope: Scope,
  deadline: Deadline,
): Promise<Caller> {
  const token = /^bearer ([!-~]+)$/i.exec(authorizationOf(request))?.[1];
  const caller = token === undefined ? undefined : await findCaller(token, deadline);
  if (!caller) throw new Failure('UNAUTHENTICATED');
  if (!caller.scopes.has(scope)) {
    throw new Failure('FORBIDDEN', `The caller ${caller.id} lacks the scope ${scope}. Use a token that has it.`);
  }
  return caller;
}

/** Node keeps the first of several Authorization headers; a proxy may keep another, so several are refused. */
function authorizationOf(request: IncomingMessage): string {
  const [value = '', ...others] = request.headersDistinct['authorization'] ?? [];
  if (others.length > 0) throw invalid('', 'send one Authorization header');
  return value;
}
