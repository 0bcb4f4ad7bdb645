/**
 * For Fastify 5. The mapping is part of its route's own options, so it is Fastify's matching that decides which mapping belongs to which
 * handler; there is no second one.
 */

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { checkRequest, type Mapping } from './check-request.ts';
import { checkMapping, refuseUnmapped } from './marks.ts';
import type { Authorizer, Decision } from './types.ts';

export type { Mapping } from './check-request.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** The decision on this request; null on a route that is public. */
    authz: Decision<string> | null;
  }
}

/** Options of a route: `app.get(path, authz.check(...), handler)`, or spread among others. */
export interface MappedOptions {
  readonly config: { readonly authz: object };
  /** Of a check: lets no handler run that the plugin has not checked. */
  readonly preParsing?: typeof requireAllowed;
}

export interface FastifyAuthz {
  /** Lets a route's handler run where the key may do the action on the business. @throws TypeError */
  readonly check: (mapping: Mapping<FastifyRequest>) => MappedOptions;
  /** In place of a check: everybody may. */
  readonly public: () => MappedOptions;
  /** `await app.register(authz.plugin)` before the first route. A route without a mapping then is an error where it is added. */
  readonly plugin: (app: FastifyInstance) => Promise<void>;
}

/** The checks of a service that is written with Fastify. The decision is `request.authz`. */
export function fastifyAuthz(client: Pick<Authorizer<string>, 'authorize'>): FastifyAuthz {
  /** What `check` and `public` made; null: everybody may. */
  const mappings = new WeakMap<object, Mapping<FastifyRequest> | null>();
  const options = (mapping: Mapping<FastifyRequest> | null): MappedOptions => {
    const authz = Object.freeze({});
    mappings.set(authz, mapping);
    return { config: { authz } };
  };
  /** undefined: the route has none. */
  const mappingOf = (config: unknown): Mapping<FastifyRequest> | null | undefined =>
    mappings.get(((config ?? {}) as { readonly authz?: object }).authz ?? {});

  async function onRequest(request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
    // There is no route, so there is no handler.
    if (request.is404) return undefined;
    const mapping = mappingOf(request.routeOptions.config);
    if (mapping === undefined)
      throw new Error(`No mapping for ${request.method} ${request.routeOptions.url}. ${ADVICE}`);
    if (mapping === null) return undefined;
    const { raw, ip, params } = request;
    const incoming = { request, rawHeaders: raw.rawHeaders, ip, isGone: raw.socket.destroyed, params };
    const { decision, refusal } = await checkRequest(client, mapping, incoming);
    request.authz = decision ?? null;
    return refusal && reply.code(refusal.status).headers(refusal.headers).send(refusal.body);
  }

  async function plugin(app: FastifyInstance): Promise<void> {
    if (!app.printRoutes().startsWith(NO_ROUTES)) throw new Error(`There are routes already. ${ADVICE}`);
    app.decorateRequest('authz', null);
    app.addHook('onRoute', ({ method, url, config }) => {
      if (mappingOf(config) === undefined) refuseUnmapped([`${[method].flat().join('|')} ${url}`]);
    });
    app.addHook('onRequest', onRequest);
  }
  return {
    check: (mapping) => {
      checkMapping(mapping);
      return { ...options(mapping), preParsing: requireAllowed };
    },
    public: () => options(null),
    // Without a scope of its own: what it adds is for every route of the app that it is registered in.
    plugin: Object.assign(plugin, {
      [Symbol.for('skip-override')]: true,
      [Symbol.for('fastify.display-name')]: '@iqra/authz',
    }),
  };
}

/** A mapping alone does nothing: where the plugin is not registered, or only for other routes, its handler must not run. */
function requireAllowed(
  { authz }: Pick<FastifyRequest, 'authz'>,
  _reply: unknown,
  _payload: unknown,
  done: (error?: Error) => void,
): void {
  if (authz?.allowed === true) done();
  else done(new Error(`The plugin does not check this route. ${ADVICE}`));
}

const ADVICE = 'await app.register(authz.plugin) before the first route.';
/** How Fastify prints that there is none. */
const NO_ROUTES = '(empty tree)';
