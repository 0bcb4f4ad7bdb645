/**
 * For Koa with @koa/router. A check is the first handler of its route, so it is the router's own matching that decides which check
 * belongs to which handler; there is no second one.
 */

import { checkRequest, type Mapping } from './check-request.ts';
import { checkMapping, close, isMarked, mark, refuseUnmapped, requireSealed, sealMark } from './marks.ts';
import type { Authorizer } from './types.ts';

export type { Mapping } from './check-request.ts';

/** What is used of a context of Koa. */
export interface KoaContext {
  readonly req: { readonly rawHeaders: readonly string[]; readonly socket: { readonly destroyed: boolean } };
  readonly ip: string;
  readonly params?: unknown;
  readonly query: Readonly<Record<string, string | string[] | undefined>>;
  /** Gets the decision, as `authz`. */
  readonly state: object;
  status: number;
  body?: unknown;
  readonly set: (headers: Record<string, string>) => unknown;
}

/** Fits every router, whatever its contexts and states are. */
export type KoaMiddleware = (context: unknown, next: () => Promise<unknown>) => Promise<unknown>;

/** What is used of a router. */
export interface KoaRouter {
  readonly stack: { readonly methods: string[]; readonly path: string | RegExp; readonly stack: unknown[] }[];
}

export interface KoaAuthz {
  /** Lets a route's handlers run where the key may do the action on the business. The first handler of the route. @throws TypeError */
  readonly check: <Context extends KoaContext>(mapping: Mapping<Context>) => KoaMiddleware;
  /** In place of a check: everybody may. */
  readonly public: () => KoaMiddleware;
  /**
   * Looks at every route, those of nested routers included, and closes the router: `app.use(authz.seal(router).routes())`. A check in a
   * router that was not sealed fails. @throws Error: a route has no mapping
   */
  readonly seal: <Router extends KoaRouter>(router: Router) => Router;
}

const ADVICE = 'Add all routes, then app.use(authz.seal(router).routes()).';

/** The checks of a service that is written with Koa. The decision is `ctx.state.authz`. */
export function koaAuthz(client: Pick<Authorizer<string>, 'authorize'>): KoaAuthz {
  return {
    check: <Context extends KoaContext>(mapping: Mapping<Context>) => {
      checkMapping(mapping);
      const check: KoaMiddleware = async (given, next) => {
        requireSealed(check, ADVICE);
        const context = given as Context;
        const { req, ip, params } = context;
        const { rawHeaders, socket } = req;
        const incoming = { request: context, rawHeaders, ip, isGone: socket.destroyed, params };
        const { decision, refusal } = await checkRequest(client, mapping, incoming);
        (context.state as { authz?: unknown }).authz = decision;
        if (!refusal) return next();
        context.status = refusal.status;
        context.set(refusal.headers);
        context.body = refusal.body;
        return undefined;
      };
      return mark(check);
    },
    public: () => mark<KoaMiddleware>((_context, next) => next()),
    seal: (router) => {
      const layers = router.stack.filter(({ methods }) => methods.length > 0);
      refuseUnmapped(layers.filter(({ stack }) => !isMarked(firstOf(stack))).map(nameOf));
      for (const { stack } of layers) {
        sealMark(firstOf(stack) as object);
        close(stack, ADVICE);
      }
      close(router.stack, ADVICE);
      return router;
    },
  };
}

/** The first handler; in front of it, the router puts what `router.param` was given. */
const firstOf = (handlers: readonly unknown[]): unknown =>
  handlers.find((handler) => (handler as { readonly param?: unknown }).param === undefined);

const nameOf = ({ methods, path }: KoaRouter['stack'][number]): string =>
  `${methods.filter((method) => method !== 'HEAD' || methods.length === 1).join('|')} ${path}`;
