/**
 * Routes a request to its answer: through Koa and its router, in which every route is mounted; but for plain questions, which have a short
 * way (short-way.ts) unless FAST_PATH is `off`, both of which pass one contract suite (test/http/both-ways.test.ts); and for what gateways ask
 * (gateway/), where every byte of the address counts. With ADMIN_PORT, what is no question has a listener of its own.
 */

import type { RequestListener } from 'node:http';
import Router from '@koa/router';
import Koa, { type Context } from 'koa';
import { asFailure, Failure } from '../errors.ts';
import type { Service } from '../service.ts';
import { type Entrance, mount } from './answer.ts';
import { authenticator } from './authenticate.ts';
import { type State, stateOf } from './context.ts';
import { deliver, type Phase, settle } from './exchange.ts';
import { faultOfFraming } from './framing.ts';
import { gateways } from './gateway/gateway.ts';
import type { Route } from './route.ts';
import { routesOf } from './routes/index.ts';
import { shortWay } from './short-way.ts';

/** The request listeners of a server. */
export interface App {
  /** What services and gateways ask; without ADMIN_PORT all else, too. */
  readonly main: RequestListener;
  /** Of ADMIN_PORT; undefined where it is unset. */
  readonly admin: RequestListener | undefined;
}

export function createApp(service: Service, phase: () => Phase): App {
  const { FAST_PATH, ADMIN_PORT } = service.config;
  const { questions, health, administration } = routesOf(service, () => phase() !== 'serving');
  const apart = ADMIN_PORT !== undefined;
  const own = [...questions, ...health, ...(apart ? [] : administration)];
  // One for both listeners: an address that has failed too often has done so on either.
  const entrance: Entrance = { authenticate: authenticator(service), tracing: service.tracing };
  const through = (routes: readonly Route[]): RequestListener => koaOf(service, phase, routes, entrance).callback();
  const others = FAST_PATH === 'off' ? through(own) : shortWay(service, phase, own, entrance, through(own));
  return {
    main: gateways(service, phase, entrance, others),
    admin: apart ? through([...health, ...administration]) : undefined,
  };
}

function koaOf(service: Service, phase: () => Phase, routes: readonly Route[], entrance: Entrance): Koa<State> {
  // Those that have a short way are asked for far more often than all others: they are looked for first.
  const [often, others] = [true, false].map((isShort) => {
    const router = new Router<State>({ strict: true, sensitive: true });
    const some = routes.filter((shape) => shape.isShort === isShort);
    mount(router, some, entrance);
    return router;
  }) as [Router<State>, Router<State>];
  const app = new Koa<State>();
  app.use((ctx) => {
    const match = matchOf([often, others], ctx);
    const [layer] = match.pathAndMethod;
    const state = stateOf(ctx.req, service.config.DECISION_DEADLINE_MS, layer?.name, faultOfFraming(ctx.req));
    ctx.state = state;
    // The answer is written as that of the short way is.
    ctx.respond = false;
    return new Promise<void>((resolve) =>
      settle(
        service,
        phase,
        ctx.req,
        state,
        (end) => {
          if (!match.route || !layer) throw unknownRoute(match);
          run(layer, ctx).then(end as (answered: unknown) => void, (thrown: unknown) => end(asFailure(thrown)));
        },
        (answered) => {
          deliver(service, ctx.res, state, answered);
          resolve();
        },
      ),
    );
  });
  // Only what breaks after the middleware ends up here, such as a client that hangs up during its answer.
  app.on('error', (error: unknown) => service.log.debug({ error }, 'a reply could not be delivered'));
  return app;
}

/** One for all: its stack trace would cost more than the rest of the answer, and anybody can ask for it. */
const NOWHERE = new Failure('NOT_FOUND');

type Match = ReturnType<Router<State>['match']>;
const NO_MATCH: Match = { path: [], pathAndMethod: [], route: false };

/** A slash, and visible characters without a fragment. No route has another address, and Koa's parser would mend or not bear it. */
const ADDRESS = /^\/[!-"$-~]*$/;

function matchOf(routers: readonly Router<State>[], ctx: Context): Match {
  if (!ADDRESS.test(ctx.url)) return NO_MATCH;
  const { path, method } = ctx;
  let match = NO_MATCH;
  for (const router of routers) {
    match = router.match(path, method);
    if (match.path.length > 0) break;
  }
  return match;
}

/** NOT_FOUND, or METHOD_NOT_ALLOWED with the methods of the address. */
const unknownRoute = ({ path }: Match): Failure =>
  path.length === 0
    ? NOWHERE
    : new Failure('METHOD_NOT_ALLOWED', undefined, { allow: [...new Set(path.flatMap((layer) => layer.methods))] });

/**
 * What the router's own middleware would do for a route that is one function, which is all that are mounted here: it would match the address
 * a second time, and compose a chain of the one. What the function settles with.
 */
function run(layer: Match['path'][number], ctx: Context): Promise<unknown> {
  if (layer.paramNames.length > 0) ctx['params'] = layer.params(ctx.path, layer.captures(ctx.path));
  const [handle] = layer.stack;
  if (!handle) throw new Error('a route without a handler is mounted');
  return handle(ctx as never, END);
}

/** Behind a route there is nothing. */
const END = (): Promise<void> => Promise.resolve();
