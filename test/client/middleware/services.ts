/** One small service in each framework, with the same routes, and what each does with a route that nobody mapped. */

import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import Router from '@koa/router';
import express from 'express';
import fastify from 'fastify';
import Koa from 'koa';
import { expressAuthz } from '../../../packages/client/src/express.ts';
import { fastifyAuthz } from '../../../packages/client/src/fastify.ts';
import type { Authorizer, Decision } from '../../../packages/client/src/index.ts';
import { koaAuthz } from '../../../packages/client/src/koa.ts';

/** What a handler saw. */
export interface Ran {
  readonly business: unknown;
  readonly decision: Decision<string> | null | undefined;
}

export interface Running {
  readonly url: string;
  readonly close: () => Promise<void>;
}

type Client = Pick<Authorizer<string>, 'authorize'>;

export interface Framework {
  readonly name: string;
  /** Starts the service. `ran` hears of each handler that runs. */
  readonly start: (client: Client, ran: (what: Ran) => void) => Promise<Running>;
  /** Each makes a service with a route that has no mapping, and so fails; with the words that its error has. */
  readonly unmapped: Readonly<Record<string, readonly [(client: Client) => unknown, string]>>;
}

const BUSINESS = { action: 'call:read', business: 'business' } as const;

async function listening(server: Server): Promise<Running> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
const listen = (listener: RequestListener): Promise<Running> => listening(createServer(listener));

const koa: Framework = {
  name: 'Koa',
  start: (client, ran) => {
    const app = new Koa();
    app.silent = true;
    const authz = koaAuthz(client);
    const handler = (context: Koa.Context): void => {
      ran({ business: context['params']['business'], decision: context.state['authz'] });
      context.body = { handled: true };
    };
    const nested = new Router();
    nested.get('/:business/calls', authz.check(BUSINESS), handler);
    nested.post('/:business/calls', authz.check({ ...BUSINESS, action: 'call:create' }), handler);
    const router = new Router();
    router.get('/open', authz.public(), handler);
    router.get('/account', authz.check({ action: 'account:read' }), handler);
    router.get(
      '/asked',
      authz.check({ action: 'call:read', business: ({ query }: Koa.Context) => query['business'] as string }),
      handler,
    );
    router.use('/businesses', nested.routes());
    app.use(authz.seal(router).routes());
    app.use(router.allowedMethods());
    return listen(app.callback());
  },
  unmapped: {
    'a route': [
      (client) => {
        const router = new Router();
        router.get('/ok', koaAuthz(client).public(), () => undefined);
        router.post('/forgotten/:id', () => undefined);
        koaAuthz(client).seal(router);
      },
      'POST /forgotten/:id',
    ],
    'a handler in front of the check': [
      (client) => {
        const [router, authz] = [new Router(), koaAuthz(client)];
        router.get('/early', () => undefined, authz.check(BUSINESS));
        authz.seal(router);
      },
      'GET /early',
    ],
    'a route of a nested router': [
      (client) => {
        const [router, nested] = [new Router(), new Router()];
        nested.delete('/forgotten', () => undefined);
        router.use('/deep', nested.routes());
        koaAuthz(client).seal(router);
      },
      'DELETE /deep/forgotten',
    ],
    'a route that comes late': [
      (client) => {
        const authz = koaAuthz(client);
        authz.seal(new Router()).get('/late', authz.public(), () => undefined);
      },
      'No route can be added behind seal()',
    ],
    'an action that is none': [(client) => koaAuthz(client).check({ action: 'Call' }), 'action must be'],
  },
};

const expressService: Framework = {
  name: 'Express',
  start: (client, ran) => {
    const app = express();
    const authz = expressAuthz(client);
    const handler: express.RequestHandler = (request, response) => {
      ran({ business: request.params['business'], decision: request.authz });
      response.json({ handled: true });
    };
    const nested = express.Router();
    nested.get('/:business/calls', authz.check(BUSINESS), handler);
    nested.post('/:business/calls', authz.check({ ...BUSINESS, action: 'call:create' }), handler);
    app.use((_request, _response, next) => next());
    app.get('/open', authz.public(), handler);
    app.get('/account', authz.check({ action: 'account:read' }), handler);
    app.get(
      '/asked',
      authz.check({ action: 'call:read', business: ({ query }: express.Request) => query['business'] as string }),
      handler,
    );
    app.use('/businesses', nested);
    return listen(authz.seal(app));
  },
  unmapped: {
    'a route': [
      (client) => {
        const [app, authz] = [express(), expressAuthz(client)];
        app.get('/ok', authz.public(), () => undefined);
        app.post('/forgotten/:id', () => undefined);
        authz.seal(app);
      },
      'POST /forgotten/:id',
    ],
    'a handler in front of the check': [
      (client) => {
        const [app, authz] = [express(), expressAuthz(client)];
        app.get('/early', () => undefined, authz.check(BUSINESS));
        authz.seal(app);
      },
      'GET /early',
    ],
    'one method of a path': [
      (client) => {
        const [app, authz] = [express(), expressAuthz(client)];
        app
          .route('/half')
          .get(authz.public(), () => undefined)
          .put(() => undefined);
        authz.seal(app);
      },
      'PUT /half',
    ],
    'a route of a nested router': [
      (client) => {
        const [app, router] = [express(), express.Router()];
        router.delete('/forgotten', () => undefined);
        app.use('/deep', router);
        expressAuthz(client).seal(app);
      },
      'DELETE /forgotten',
    ],
    'an app within the app': [
      (client) => expressAuthz(client).seal(express().use('/inner', express())),
      'an app that is used in this one',
    ],
    'a function at a path': [
      (client) => expressAuthz(client).seal(express().use('/files', function files() {})),
      'files that is used at a path',
    ],
    'a route that comes late': [
      (client) => {
        const authz = expressAuthz(client);
        authz.seal(express()).get('/late', authz.public(), () => undefined);
      },
      'No route can be added behind seal()',
    ],
    'an action that is none': [(client) => expressAuthz(client).check({ action: 'Call' }), 'action must be'],
  },
};

const fastifyService: Framework = {
  name: 'Fastify',
  start: async (client, ran) => {
    const app = fastify();
    const authz = fastifyAuthz(client);
    await app.register(authz.plugin);
    const handler = (request: fastify.FastifyRequest) => {
      ran({ business: (request.params as Record<string, unknown>)['business'], decision: request.authz });
      return { handled: true };
    };
    app.get('/open', authz.public(), handler);
    app.get('/account', authz.check({ action: 'account:read' }), handler);
    app.get(
      '/asked',
      authz.check({ action: 'call:read', business: ({ query }) => (query as Record<string, string>)['business'] }),
      handler,
    );
    await app.register(
      async (nested) => {
        nested.get('/:business/calls', authz.check(BUSINESS), handler);
        nested.post('/:business/calls', authz.check({ ...BUSINESS, action: 'call:create' }), handler);
      },
      { prefix: '/businesses' },
    );
    const url = await app.listen({ port: 0, host: '127.0.0.1' });
    return {
      url,
      close: async () => {
        app.server.closeAllConnections();
        await app.close();
      },
    };
  },
  unmapped: {
    'a route': [
      async (client) => {
        const app = fastify();
        await app.register(fastifyAuthz(client).plugin);
        app.post('/forgotten/:id', () => undefined);
      },
      'POST /forgotten/:id',
    ],
    'a route of a nested plugin': [
      async (client) => {
        const app = fastify();
        await app.register(fastifyAuthz(client).plugin);
        await app.register(async (nested) => nested.delete('/forgotten', () => undefined), { prefix: '/deep' });
      },
      'DELETE /deep/forgotten',
    ],
    'a mapping that another made': [
      async (client) => {
        const app = fastify();
        await app.register(fastifyAuthz(client).plugin);
        app.get('/other', fastifyAuthz(client).public(), () => undefined);
      },
      'GET /other',
    ],
    'a route that came before': [
      async (client) => {
        const [app, authz] = [fastify(), fastifyAuthz(client)];
        app.get('/before', authz.public(), () => undefined);
        await app.register(authz.plugin);
      },
      'There are routes already',
    ],
    'a plugin that is not awaited': [
      async (client) => {
        const [app, authz] = [fastify(), fastifyAuthz(client)];
        app.register(authz.plugin);
        app.get('/before', authz.public(), () => undefined);
        await app.ready();
      },
      'There are routes already',
    ],
    'an action that is none': [(client) => fastifyAuthz(client).check({ action: 'Call' }), 'action must be'],
  },
};

export const FRAMEWORKS: readonly Framework[] = [koa, expressService, fastifyService];
