/** What a request carries through the middleware, and the middleware that puts it there. */

import type { IncomingMessage } from 'node:http';
import type { Middleware, ParameterizedContext } from 'koa';
import { v7 as uuidv7 } from 'uuid';
import type { Deadline } from '../deadline.ts';
import type { Caller, FindCaller, Scope } from '../directory/callers.ts';
import { Failure } from '../errors.ts';
import { invalid, printPath } from '../json.ts';

export interface State {
  requestId: string;
  deadline: Deadline;
  /** Only behind `authenticate`. */
  caller: Caller;
}

export type Context = ParameterizedContext<State>;

/** The id of a request in the logs: the client's own where it is harmless and holds no key, else a new one. */
export const requestIdOf = (request: IncomingMessage): string => {
  const given = request.headers['x-request-id'];
  return typeof given === 'string' && /^(?!.*iqra_)[A-Za-z0-9._:-]{1,128}$/.test(given) ? given : uuidv7();
};

/** Lets through a caller whose live token has the scope. @throws Failure INVALID_REQUEST, UNAUTHENTICATED, FORBIDDEN */
export function authenticate(findCaller: FindCaller, scope: Scope): Middleware<State> {
  return async (ctx, next) => {
    const token = /^bearer ([!-~]+)$/i.exec(authorizationOf(ctx.req))?.[1];
    const caller = token === undefined ? undefined : await findCaller(token, ctx.state.deadline);
    if (!caller) throw new Failure('UNAUTHENTICATED');
    if (!caller.scopes.has(scope)) {
      throw new Failure('FORBIDDEN', `The caller ${caller.id} lacks the scope ${scope}. Use a token that has it.`);
    }
    ctx.state.caller = caller;
    await next();
  };
}

/** Node keeps the first of several Authorization headers; a proxy may keep another, so several are refused. */
function authorizationOf(request: IncomingMessage): string {
  const [value = '', ...others] = request.headersDistinct['authorization'] ?? [];
  if (others.length > 0) throw invalid('', 'send one Authorization header');
  return value;
}

/** For routes that read no query parameter. @throws Failure INVALID_REQUEST */
export function refuseQuery(ctx: Context): void {
  if (ctx.querystring === '') return;
  const [name = ''] = new URLSearchParams(ctx.querystring).keys();
  throw invalid(printPath([name]), 'no query parameter is read here; remove it');
}
