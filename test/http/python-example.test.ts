/** examples/python: a client in another language, by the contract alone, of the service and of servers that are none. */

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { expect } from 'chai';
import { ENVIRONMENT, type Outcome, ROOT } from '../support/cli.ts';
import { type Client, withService } from '../support/client.ts';
import { insertKey, type TestService } from '../support/service.ts';

const SCRIPT = path.join(ROOT, 'examples', 'python', 'ask.py');

describe('the example in Python', () => {
  let service: TestService;
  let client: Client;
  let key: string;
  before(function () {
    if (spawnSync('python3', ['--version']).status !== 0) {
      console.log('      there is no python3 here: its example is not run');
      this.skip();
    }
  });
  withService(async (started) => {
    ({ service, client } = started);
    await client.newUser('ada', 'bakery');
    key = await insertKey(service, { user_id: 'ada' });
  });

  const run = async (url: string, token: string, ...words: readonly string[]): Promise<Outcome> => {
    const env = { ...ENVIRONMENT, AUTHZ_URL: url, AUTHZ_TOKEN: token };
    const child = spawn('python3', ['-I', SCRIPT, ...words], { env });
    const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
    return { code, stdout, stderr };
  };

  it('tells what is allowed from what is denied', async () => {
    const allowed = await run(`${service.address}/`, service.token, `Token ${key}`, 'call:create', 'bakery');
    expect(allowed).to.deep.equal({ code: 0, stdout: 'OK The API key may do this.\n', stderr: '' });
    const denied = await run(service.address, service.token, `Token ${key}`, 'call:create');
    expect(denied).to.deep.equal({
      code: 1,
      stdout: 'PERMISSION_DENIED The API key is not permitted to do this.\n',
      stderr: '',
    });
  });

  it('takes nothing else for a yes', async () => {
    const good = (await service.ask('/authorize', { apiKey: key, action: 'call:create', businessId: 'bakery' })).body;
    const answers: readonly (readonly [status: number, body: string])[] = [
      [200, JSON.stringify({ ...good, Success: 'true' })],
      [200, JSON.stringify({ Success: true, Code: 'OK' })],
      [200, JSON.stringify({ ...good, Code: 'FROZEN' })],
      [200, JSON.stringify({ ...good, Data: { ...good.Data, businessId: 'garage' } })],
      [200, JSON.stringify({ ...good, Data: { ...good.Data, action: 'call:read' } })],
      [200, '['.repeat(100_000)],
      [200, 'true'],
      [503, JSON.stringify(good)],
      [302, JSON.stringify(good)],
    ];
    const rest = [...answers];
    const server = createServer((_, response) => {
      const [status, body] = rest.shift() ?? [500, ''];
      response.writeHead(status, { location: `${service.address}/authorize` }).end(body);
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const words = [`Token ${key}`, 'call:create', 'bakery'];
    try {
      for (const answer of answers)
        expect((await run(url, 'x', ...words)).code, JSON.stringify(answer).slice(0, 200)).to.equal(3);
    } finally {
      server.closeAllConnections();
      server.close();
    }
    const refused = await run(url, 'x', ...words);
    expect(refused.code).to.equal(3);
    const unauthenticated = await run(service.address, 'x', ...words);
    expect([unauthenticated.code, unauthenticated.stdout]).to.deep.equal([3, '']);
    expect(unauthenticated.stderr).to.include('UNAUTHENTICATED').and.not.include(key);
  });
});
