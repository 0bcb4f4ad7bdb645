/**
 * For Express 5. A check is the first handler of its route, so it is the router's own matching that decides which check belongs to which
 * handler; there is no second one.
 */

import { checkRequest, type Mapping } from './check-request.ts';
import { checkMapping, close, isMarked, mark, refuseUnmapped, requireSealed, sealMark } from './marks.ts';
import type { Authorizer, Decision } from './types.ts';

export type { Mapping } from './check-request.ts';

declare global {
  namespace Express {
    interface Request {
      /** The decision on this request, behind a check. */
      authz?: Decision<string> | undefined;
    }
  }
}

/** What is used of a request of Express. */
export interface ExpressRequest {
  readonly rawHeaders: readonly string[];
  readonly socket: { readonly destroyed: boolean };
  readonly ip?: string | undefined;
  readonly params: unknown;
  authz?: Decision<string> | undefined;
}

/** What is used of a response. */
export interface ExpressResponse {
  readonly status: (code: number) => unknown;
  readonly set: (headers: Record<string, string>) => unknown;
  readonly json: (body: unknown) => unknown;
}

type Next = (error?: unknown) => void;
type Handler<Request> = (request: Request, response: ExpressResponse, next: Next) => unknown;

export interface ExpressAuthz {
  /** Lets a route's handlers run where the key may do the action on the business. The first handler of the route. @throws TypeError */
  readonly check: <Request extends ExpressRequest>(mapping: Mapping<Request>) => Handler<Request>;
  /** In place of a check: everybody may. */
  readonly public: () => (request: unknown, response: unknown, next: Next) => unknown;
  /**
   * Looks at every route, those of nested routers included, and closes them: `authz.seal(app).listen(3000)`. A check in an app that was not
   * sealed fails. What is used at a path (`app.use('/files', ...)`) must be a router: what it would answer cannot be told.
   * @throws Error: a route has no mapping
   */
  readonly seal: <App extends object>(app: App) => App;
}

const ADVICE = 'Add all routes, then authz.seal(app), then listen.';

/** The checks of a service that is written with Express. The decision is `req.authz`. */
export function expressAuthz(client: Pick<Authorizer<string>, 'authorize'>): ExpressAuthz {
  return {
    check: (mapping) => {
      checkMapping(mapping);
      return mark(async function check(request, response, next) {
        requireSealed(check, ADVICE);
        const { rawHeaders, socket, ip, params } = request;
        const incoming = { request, rawHeaders, ip, isGone: socket.destroyed, params };
        const { decision, refusal } = await checkRequest(client, mapping, incoming);
        request.authz = decision;
        if (!refusal) return next();
        response.status(refusal.status);
        response.set(refusal.headers);
        response.json(refusal.body);
      });
    },
    public: () => mark((_request, _response, next) => next()),
    seal: (app) => {
      const routers = routersIn(routerOf(app));
      refuseUnmapped(routers.flatMap(({ stack }) => stack.flatMap(unmapped)));
      for (const { stack } of routers) {
        for (const { route } of stack) if (route) sealRoute(route);
        close(stack, ADVICE);
      }
      return app;
    },
  };
}

interface Router {
  readonly stack: Layer[];
}

/** Of a router: a route, or something that is used. */
interface Layer {
  readonly route?: Route | undefined;
  readonly handle: object;
  /** Whether it is used for every path. */
  readonly slash?: boolean;
}

interface Route {
  readonly path: unknown;
  /** Its handlers, in the order in which they run. Those without a method run for all. */
  readonly stack: { readonly method?: string | undefined; readonly handle: object }[];
}

const isRouter = (value: unknown): value is Router =>
  typeof value === 'function' && Array.isArray((value as { readonly stack?: unknown }).stack);

/** @throws TypeError */
function routerOf(app: object): Router {
  const router: unknown = isRouter(app) ? app : (app as { readonly router?: unknown }).router;
  if (isRouter(router)) return router;
  throw new TypeError('seal() takes an app or a router of Express 5.');
}

/** A router, and all that are used in it. */
const routersIn = (router: Router): Router[] => [
  router,
  ...router.stack.flatMap(({ handle }) => (isRouter(handle) ? routersIn(handle) : [])),
];

/** What of a layer has no mapping. */
function unmapped({ route, handle, slash }: Layer): string[] {
  if (route)
    return [...methodsOf(route)]
      .filter((method) => !isMarked(firstOf(route, method)))
      .map((method) => `${method?.toUpperCase() ?? 'ALL'} ${route.path}`);
  const { name, length } = handle as { readonly name: string; readonly length: number };
  if (name === 'mounted_app') return ['an app that is used in this one (make it a Router)'];
  // Functions of four parameters handle errors.
  if (isRouter(handle) || length === 4 || slash) return [];
  return [`${name || 'a function'} that is used at a path (make it a route)`];
}

/** The methods that a route has handlers for; undefined: any other. */
const methodsOf = ({ stack }: Route): Set<string | undefined> => new Set(stack.map(({ method }) => method));

/** The first handler that runs for a method. */
const firstOf = ({ stack }: Route, method: string | undefined): object | undefined =>
  stack.find((layer) => layer.method === undefined || layer.method === method)?.handle;

function sealRoute(route: Route): void {
  for (const method of methodsOf(route)) sealMark(firstOf(route, method) ?? {});
  close(route.stack, ADVICE);
}
