/**
 * Routes a request to its answer: through Koa and its router, in which every route is mounted; but for plain questions, which have a short
 * way (short-way.ts) unless FAST_PATH is `off`. Both ways pass one contract suite (test/http/both-ways.test.ts).
 */

import type { RequestListener } from 'node:http';
import Router from '@koa/router';
import Koa, { type Context } from 'koa';
import { asFailure, Failure } from '../errors.ts';
import type { Service } from '../service.ts';
import { type Authenticate, authenticator } from './authenticate.ts';
import { type State, stateOf } from './context.ts';
import { type Answered, HEADERS, JSON_TYPE, type Phase, settle } from './exchange.ts';
import { faultOfFraming } from './framing.ts';
import { mount, type Route } from './route.ts';
import { allRoutes } from './routes/index.ts';
import { shortWay } from './short-way.ts';

/** The request listener of a server. */
export function createApp(service: Service, phase: () => Phase): RequestListener {
  const routes = allRoutes(service, () => phase() !== 'serving');
  const authenticate = authenticator(service);
  const throughKoa = koaOf(service, phase, routes, authenticate).callback();
  return service.config.FAST_PATH === 'off' ? throughKoa : shortWay(service, phase, routes, authenticate, throughKoa);
}

function koaOf(service: Service, phase: () => Phase, routes: readonly Route[], authenticate: Authenticate): Koa<State> {
  const router = new Router<State>({ strict: true, sensitive: true });
  mount(router, routes, authenticate);
  const app = new Koa<State>();
  app.use((ctx, next) => {
    const match = matchOf(router, ctx);
    const name = match.pathAndMethod.at(-1)?.name;
    const state = stateOf(ctx.req, service.config.DECISION_DEADLINE_MS, name, faultOfFraming(ctx.req));
    ctx.state = state;
    return new Promise<void>((resolve) =>
      settle(
        service,
        phase,
        ctx.req,
        state,
        (end) => {
          refuseUnknownRoute(match);
          next().then(end as (answered: unknown) => void, (thrown: unknown) => end(asFailure(thrown)));
        },
        (answered) => {
          write(ctx, state.echo ?? state.requestId, answered);
          resolve();
        },
      ),
    );
  });
  app.use(router.routes());
  // Only what breaks after the middleware ends up here, such as a client that hangs up during its answer.
  app.on('error', (error: unknown) => service.log.debug({ error }, 'a reply could not be delivered'));
  return app;
}

function write(ctx: Context, requestId: string, { status = 200, headers, reply, json, text }: Answered): void {
  ctx.set({
    ...HEADERS,
    'X-Request-Id': requestId,
    ...headers,
    ...(json !== undefined && { 'Content-Type': JSON_TYPE }),
  });
  // Koa takes a body of null for a 204, and says so unless the status is set after it.
  ctx.body = json ?? text ?? reply ?? null;
  ctx.status = status;
}

/** One for all: its stack trace would cost more than the rest of the answer, and anybody can ask for it. */
const NOWHERE = new Failure('NOT_FOUND');

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
