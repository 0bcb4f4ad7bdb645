/**
 * Routes a request to its answer. One whose method and address are those of a route without parameters, byte for byte, is
 * answered straight from node:http, and so is one whose path begins as that of no route; any other one goes through Koa and its
 * router. The direct way exists because Koa and its router cost half of what `/authorize` may (docs/operations.md has the figures).
 * Both ways run the same route by the same functions, and pass one contract suite (test/http/both-ways.test.ts).
 */

import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import Router from '@koa/router';
import Koa, { type Context } from 'koa';
import { Failure } from '../errors.ts';
import type { Service } from '../service.ts';
import { type Authenticate, authenticator } from './authenticate.ts';
import { type State, stateOf } from './context.ts';
import { type Answered, HEADERS, type Phase, send, settle } from './exchange.ts';
import { answer, mount, type Route } from './route.ts';
import { allRoutes } from './routes/index.ts';

/** The request listener of a server. `direct: false` sends every request through Koa. */
export function createApp(service: Service, phase: () => Phase, { direct = true } = {}): RequestListener {
  const routes = allRoutes(service, () => phase() !== 'serving');
  const authenticate = authenticator(service);
  const throughKoa = koaOf(service, phase, routes, authenticate).callback();
  if (!direct) return throughKoa;
  const directly = new Map<string, RequestListener>();
  for (const route of routes.filter(({ path }) => !path.includes('{'))) {
    const listener = answerDirectly(
      service,
      phase,
      (request, state) => answer(route, authenticate, request, state),
      route.path,
    );
    directly.set(`${route.method.toUpperCase()} ${route.path}`, listener);
    if (route.method === 'get') directly.set(`HEAD ${route.path}`, listener);
  }
  const nowhere = answerDirectly(service, phase, () => Promise.reject(NOWHERE));
  const firsts = new Set(routes.map(({ path }) => firstOf(path)));
  return (request, response) => {
    const { method, url = '' } = request;
    const listener = directly.get(`${method} ${url}`) ?? (firsts.has(firstOf(url)) ? throughKoa : nowhere);
    listener(request, response);
  };
}

/** What a path begins with, up to its second slash or its query. */
const firstOf = (url: string): string => /^\/[^/?]*/.exec(url)?.[0] ?? '';

function answerDirectly(
  service: Service,
  phase: () => Phase,
  work: (request: IncomingMessage, state: State) => Promise<Answered>,
  path?: string,
) {
  return async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const state = stateOf(request, service.config.DECISION_DEADLINE_MS, path);
    try {
      const answered = await settle(service, phase, request, state, () => work(request, state));
      send(response, state.requestId, answered);
    } catch (error) {
      undelivered(service, error);
      response.destroy();
    }
  };
}

function koaOf(service: Service, phase: () => Phase, routes: readonly Route[], authenticate: Authenticate): Koa<State> {
  const router = new Router<State>({ strict: true, sensitive: true });
  mount(router, routes, authenticate);
  const app = new Koa<State>();
  app.use(async (ctx, next) => {
    const match = matchOf(router, ctx);
    ctx.state = stateOf(ctx.req, service.config.DECISION_DEADLINE_MS, match.pathAndMethod.at(-1)?.name);
    const answered = await settle(service, phase, ctx.req, ctx.state, () => {
      refuseUnknownRoute(match);
      return next();
    });
    const { status = 200, headers, reply, text } = answered;
    ctx.set({ 'X-Request-Id': ctx.state.requestId, ...HEADERS, ...headers });
    // Koa takes a body of null for a 204, and says so unless the status is set after it.
    ctx.body = text ?? reply ?? null;
    ctx.status = status;
  });
  app.use(router.routes());
  // Only what breaks after the middleware ends up here, such as a client that hangs up during its answer.
  app.on('error', (error: unknown) => undelivered(service, error));
  return app;
}

/** One for all: its stack trace would cost more than the rest of the answer, and anybody can ask for it. */
const NOWHERE = new Failure('NOT_FOUND');

const undelivered = ({ log }: Service, error: unknown): void => log.debug({ error }, 'a reply could not be delivered');

type Match = ReturnType<Router<State>['match']>;
const NO_MATCH: Match = { path: [], pathAndMethod: [], route: false };

/** A slash, and visible characters without a fragment. No route has another address, and Koa's parser would mend or not bear it. */
const ADDRESS = /^\/[!-"$-~]*$/;

const matchOf = (router: Router<State>, ctx: Context): Match =>
  ADDRESS.test(ctx.url) ? router.match(ctx.path, ctx.method) : NO_MATCH;

/** @throws Failure NOT_FOUND, or METHOD_NOT_ALLOWED with the methods of the address */
function refuseUnknownRoute({ path, route }: Match): void {
  if (path.length === 0) throw NOWHERE;
  if (!route) {
    throw new Failure('METHOD_NOT_ALLOWED', undefined, {
      allow: [...new Set(path.flatMap((layer) => layer.methods))],
    });
  }
}
