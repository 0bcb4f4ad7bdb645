/** Each example service, as a process of the build, beside a real service. Runs the build: `make build` first. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { expect } from 'chai';
import { ENVIRONMENT, outputWith, ROOT } from '../support/cli.ts';
import { withService } from '../support/client.ts';
import { insertCaller, insertKey, type TestService } from '../support/service.ts';

describe('the examples of services', () => {
  let service: TestService;
  let key: string;

  withService(async (started) => {
    ({ service } = started);
    await started.client.newUser('ada', 'bakery');
    key = await insertKey(service, { user_id: 'ada', id: 'ada-main' });
  });

  for (const framework of ['koa', 'express', 'fastify'])
    it(`asks in ${framework}`, async () => {
      const child = spawn(process.execPath, [path.join(ROOT, 'examples', framework, 'server.js')], {
        env: {
          ...ENVIRONMENT,
          AUTHZ_URL: service.address,
          AUTHZ_TOKEN: await insertCaller(service, ['authorize']),
          // A busy machine must not make a denial, or an allow, a failure.
          AUTHZ_DEADLINE_MS: '30000',
          PORT: '0',
        },
      });
      try {
        const url = (await outputWith(child, '\n')).trim();
        const ask = async (where: string, headers = {}): Promise<unknown> => {
          const response = await fetch(url + where, { headers });
          const body = (await response.json()) as Record<string, unknown>;
          return [response.status, body['Code'] ?? body];
        };
        const shown = { authorization: `Token ${key}` };
        expect(await ask('/health')).to.deep.equal([200, { up: true }]);
        expect(await ask('/businesses/bakery/calls')).to.deep.equal([401, 'INVALID_API_KEY']);
        expect(await ask('/businesses/florist/calls', shown)).to.deep.equal([403, 'PERMISSION_DENIED']);
        expect(await ask('/businesses/bakery/calls', shown)).to.deep.equal([200, { calls: [], askedBy: 'ada-main' }]);
      } finally {
        child.kill();
        await once(child, 'close');
      }
    });
});
