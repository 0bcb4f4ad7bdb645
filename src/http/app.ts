/**
 * From a request to an answer. A request for the very address of a route is answered straight from node:http; any other
 * one goes through Koa and its router. Both run the same route by the same functions: the short way spares `/authorize`
 * what a question with one possible address does not need (docs/operations.md has the figures).
 */

import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import Router from '@koa/router';
import Koa, { type Context } from 'koa';
import { Failure } from '../errors.ts';
import type { Service } from '../service.ts';
import { type State, stateOf } from './context.ts';
import { HEADERS, type Phase, send, settle } from './exchange.ts';
import { answer, mount, type Route } from './route.ts';
import { allRoutes } from './routes/index.ts';

/** What a server calls with each request. */
export function createApp(service: Service, phase: () => Phase): RequestListener {
  const routes = allRoutes(service, () => phase() !== 'serving');
  const direct = new Map(
    routes
      .filter(({ path }) => !path.includes('{'))
      .map((route) => [`${route.method.toUpperCase()} ${route.path}`, answerDirectly(service, phase, route)]),
  );
  const answerAny = koaOf(service, phase, routes).callback();
  return (request, response) => void (direct.get(`${request.method} ${request.url}`) ?? answerAny)(request, response);
}

function answerDirectly(service: Service, phase: () => Phase, route: Route) {
  return async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const state = stateOf(request, service.config.DECISION_DEADLINE_MS, route.path);
    try {
      const answered = await settle(service, phase, request, state, () => answer(route, service, request, state));
      send(response, state.requestId, answered);
    } catch (error) {
      undelivered(service, error);
      response.destroy();
    }
  };
}

function koaOf(service: Service, phase: () => Phase, routes: readonly Route[]): Koa<State> {
  const router = new Router<State>({ strict: true, sensitive: true });
  mount(router, routes, service);
  const app = new Koa<State>();
  app.use(async (ctx, next) => {
    ctx.state = stateOf(ctx.req, service.config.DECISION_DEADLINE_MS);
    const answered = await settle(service, phase, ctx.req, ctx.state, () => {
      refuseUnknownRoute(router, ctx);
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

const undelivered = ({ log }: Service, error: unknown): void => log.debug({ error }, 'a reply could not be delivered');

function refuseUnknownRoute(router: Router<State>, ctx: Context): void {
  // Any other form of address (http://.., *) is meant for a proxy, and Koa's parser throws at some of them.
  if (!ctx.url.startsWith('/')) throw new Failure('NOT_FOUND');
  const { path, route } = router.match(ctx.path, ctx.method);
  if (path.length === 0) throw new Failure('NOT_FOUND');
  if (!route) {
    throw new Failure('METHOD_NOT_ALLOWED', undefined, {
      allow: [...new Set(path.flatMap((layer) => layer.methods))],
    });
  }
}
