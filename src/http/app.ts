/** The Koa application: what surrounds every route. */

import type { IncomingMessage } from 'node:http';
import Router, { type RouterContext } from '@koa/router';
import Koa, { type Middleware } from 'koa';
import { deadlineIn } from '../deadline.ts';
import { asFailure, Failure } from '../errors.ts';
import { invalid } from '../json.ts';
import type { Log } from '../log.ts';
import type { Service } from '../service.ts';
import { DRAIN_BYTES } from './body.ts';
import { requestIdOf, type State } from './context.ts';
import { failureReply } from './replies.ts';
import { mount } from './route.ts';
import { allRoutes } from './routes/index.ts';

/** `serving` while requests are taken, `draining` while they still are but readiness fails, `refusing` at the end. */
export type Phase = 'serving' | 'draining' | 'refusing';

export function createApp(service: Service, phase: () => Phase): Koa<State> {
  const router = new Router<State>({ strict: true, sensitive: true });
  mount(
    router,
    allRoutes(service, () => phase() !== 'serving'),
    service,
  );

  const app = new Koa<State>();
  app.use(prepare(service));
  app.use(answerFailures(service.log));
  app.use(refuseWhenStopping(phase));
  app.use(refuseHostless);
  app.use(refuseUnknownRoutes(router));
  app.use(router.routes());
  // Only what breaks after the middleware ends up here, such as a client that hangs up during its answer.
  app.on('error', (error: unknown) => service.log.debug({ error }, 'a reply could not be delivered'));
  return app;
}

function prepare({ config, log }: Service): Middleware<State> {
  return async (ctx, next) => {
    const since = performance.now();
    ctx.state.deadline = deadlineIn(config.DECISION_DEADLINE_MS);
    ctx.state.requestId = requestIdOf(ctx.req);
    ctx.set('X-Request-Id', ctx.state.requestId);
    ctx.set('Cache-Control', 'no-store');
    ctx.set('X-Content-Type-Options', 'nosniff');
    await next();
    // The route, not the address: nobody knows what a lost client puts into an address.
    const route = (ctx as RouterContext)._matchedRoute;
    const ms = Math.round(performance.now() - since);
    log.debug({ requestId: ctx.state.requestId, method: ctx.method, route, status: ctx.status, ms }, 'request');
  };
}

function answerFailures(log: Log): Middleware<State> {
  return async (ctx, next) => {
    try {
      await next();
    } catch (thrown) {
      const failure = asFailure(thrown);
      if (failure.status >= 500) {
        const level = failure.code === 'INTERNAL' ? 'error' : 'warn';
        log[level]({ requestId: ctx.state.requestId, code: failure.code, error: failure.cause }, 'a request failed');
      }
      ctx.status = failure.status;
      if (failure.code === 'UNAUTHENTICATED') ctx.set('WWW-Authenticate', 'Bearer');
      if (failure.allow) ctx.set('Allow', failure.allow.join(', '));
      if (failure.retryAfterSeconds !== undefined) ctx.set('Retry-After', String(failure.retryAfterSeconds));
      if (!mayBeDrained(ctx.req)) ctx.set('Connection', 'close');
      ctx.body = failureReply(failure);
    }
  };
}

/** Whether so little is left of a body that Node may read it away, and the client keep its connection. */
const mayBeDrained = (request: IncomingMessage): boolean =>
  request.complete || Number(request.headers['content-length'] ?? Number.POSITIVE_INFINITY) <= DRAIN_BYTES;

function refuseWhenStopping(phase: () => Phase): Middleware<State> {
  return async (ctx, next) => {
    try {
      if (phase() === 'refusing') throw new Failure('UNAVAILABLE', 'The service is stopping. Ask another replica.');
      await next();
    } finally {
      // Whether it was accepted before the end or refused after it, this is the last answer on its connection.
      if (phase() === 'refusing') ctx.set('Connection', 'close');
    }
  };
}

/** As HTTP/1.1 asks of a server. */
const refuseHostless: Middleware<State> = ({ req }, next) => {
  if (req.headers.host === undefined && req.httpVersion === '1.1') throw invalid('', 'send one Host header');
  return next();
};

function refuseUnknownRoutes(router: Router<State>): Middleware<State> {
  return async (ctx, next) => {
    // Any other form of address (http://.., *) is meant for a proxy, and Koa's parser throws at some of them.
    if (!ctx.url.startsWith('/')) throw new Failure('NOT_FOUND');
    const { path, route } = router.match(ctx.path, ctx.method);
    if (path.length === 0) throw new Failure('NOT_FOUND');
    if (!route) {
      throw new Failure('METHOD_NOT_ALLOWED', undefined, {
        allow: [...new Set(path.flatMap((layer) => layer.methods))],
      });
    }
    await next();
  };
}
