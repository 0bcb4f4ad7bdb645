/** `authz health`: what a probe learns, of a real service, of one that is not well, and of whatever else may listen there. */

import { once } from 'node:events';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { expect } from 'chai';
import { authz, authzProcess } from '../support/cli.ts';
import { startService, type TestService } from '../support/service.ts';

/** Of a container whose database is misconfigured: none of it concerns the question. */
const BROKEN = { DATABASE_URL: 'no url', DATABASE_URL_FILE: '/nowhere', KEY_PEPPERS: 'none', RATE_LIMIT: 'x' };

describe('authz health', () => {
  let service: TestService;
  let port: string;
  const servers: Server[] = [];

  before(async () => {
    service = await startService();
    port = new URL(service.address).port;
  });
  afterEach(() => {
    for (const server of servers.splice(0)) server.close();
  });
  after(() => service?.close());

  /** The port of a server that sends these bytes to whoever connects; without them, nothing. */
  async function stranger(bytes?: string): Promise<string> {
    const server = createServer((socket) => void (bytes === undefined ? socket.unref() : socket.end(bytes)));
    servers.push(server.listen(0, '127.0.0.1'));
    await once(server, 'listening');
    return String((server.address() as AddressInfo).port);
  }
  const http = (body: string, status = '200 OK') => `HTTP/1.1 ${status}\r\nConnection: close\r\n\r\n${body}`;

  it('asks where HOST and PORT say that the service listens, and needs no other setting', async () => {
    for (const HOST of ['127.0.0.1', '0.0.0.0', 'localhost', '']) {
      const { code, stdout, stderr } = await authz(['health'], { ...BROKEN, PORT: port, HOST });
      expect({ code, stderr }, HOST).to.deep.equal({ code: 0, stderr: '' });
      expect(stdout).to.match(/^http:\/\/[\w.]+:\d+\/healthz: 200: The process is up\.\n$/);
    }
    // As a process, which is what a probe runs: it ends by itself.
    expect((await authzProcess(['health'], { ...BROKEN, PORT: port })).code).to.equal(0);
  });

  it('--ready asks for readiness, and says what is missing', async () => {
    const { code, stdout } = await authz(['health', '--ready', '--json'], { PORT: port });
    expect(code).to.equal(0);
    const { checks, ...health } = JSON.parse(stdout) as { checks: object };
    const url = `${service.address}/readyz`;
    expect(health).to.deep.equal({ url, healthy: true, status: 200, message: 'The service is ready.' });
    expect(checks).to.include({ database: true, log: true });
    await service.db.raw('alter table decision_records rename to elsewhere');
    try {
      const bad = await authz(['health', '--ready', '--url', service.address]);
      expect(bad.code).to.equal(1);
      expect(bad.stdout).to.include(`${url}: 503: The service is not ready`).and.include(' log: false');
      // It is up for all that: a restart would mend nothing.
      expect((await authz(['health', '--url', service.address])).code).to.equal(0);
    } finally {
      await service.db.raw('alter table elsewhere rename to decision_records');
    }
  });

  it('ends with 1 where nothing answers, not in time, or something else does', async () => {
    const closed = await stranger();
    servers.splice(0)[0]?.close();
    const up = '{"Success":true,"Code":"OK","Message":"The process is up."}';
    const cases: [port: string, said: RegExp][] = [
      [closed, /no answer: ECONNREFUSED/],
      [await stranger(), /no answer: nothing within 300 ms/],
      [await stranger('SSH-2.0\r\n'), /no answer: HPE_/],
      [await stranger(http('<html>')), /200: Something else answers there/],
      [await stranger(http('null')), /200: Something else answers there/],
      [await stranger(http(`${up}${' '.repeat(70_000)}x`)), /200: Something else answers there/],
      [
        await stranger('HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n'),
        /101: Something else answers there/,
      ],
      [await stranger(http(up, '302 Found')), /302: The process is up/],
      [await stranger(http(up.replace('true', 'false'))), /200: The process is up/],
    ];
    for (const [PORT, said] of cases) {
      const { code, stdout, stderr } = await authz(['health', '--timeout-ms', '300'], { PORT });
      expect({ code, stderr }, String(said)).to.deep.equal({ code: 1, stderr: '' });
      expect(stdout)
        .to.match(said)
        .and.match(/^[^\n]*\n$/);
    }
    expect((await authz(['health'], { PORT: await stranger(http(up)) })).code).to.equal(0);
  });

  it('refuses an address that it cannot ask, saying what to give', async () => {
    for (const url of ['nonsense', 'ftp://h', 'http://u:p@h', 'http://h/path', 'http://h/?q=1']) {
      const { code, stderr } = await authz(['health', '--url', url]);
      expect(code, url).to.equal(1);
      expect(stderr).to.include('--url takes http://host:port');
    }
    for (const limit of ['0', '600001', '9999999999'])
      expect((await authz(['health', '--timeout-ms', limit])).stderr, limit).to.include('--timeout-ms takes 1 to');
    expect((await authz(['health'], { PORT: '0' })).stderr).to.include('say with --url');
    expect((await authz(['health'], { PORT: 'x' })).stderr).to.include('PORT must be');
  });
});
