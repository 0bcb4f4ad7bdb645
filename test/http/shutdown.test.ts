/** Graceful shutdown: accepted requests are answered, others refused, and SHUTDOWN_LIMIT_MS bounds it. */

import { once } from 'node:events';
import { expect } from 'chai';
import type { Knex } from 'knex';
import { connect } from '../../src/db/connect.ts';
import { outputWith, startAuthz } from '../support/cli.ts';
import { untilLockWaits } from '../support/lock-waits.ts';
import { metricsOf } from '../support/metrics.ts';
import { newDatabase } from '../support/postgres.ts';
import { startService, type TestService } from '../support/service.ts';
import { eventually, killProcesses, serve, settingsOf, startProcess } from './process.ts';
import { countDecisions, dial, exchange, request, type Wire } from './wire.ts';

describe('a process that is told to stop', () => {
  let url: string;
  let service: TestService;
  let lock: Knex.Transaction | undefined;

  before(async () => {
    url = await newDatabase();
    service = await startService({ DATABASE_URL: url });
  });
  afterEach(async () => {
    await lock?.rollback();
    lock = undefined;
    killProcesses();
  });
  after(() => service?.close());

  const settings = (own: Record<string, string> = {}): Record<string, string> => ({
    ...settingsOf(service, url),
    DECISION_DEADLINE_MS: '60000',
    // A test that waits for this has failed.
    SHUTDOWN_LIMIT_MS: '600000',
    ...own,
  });

  const question = (): Buffer =>
    request(
      'POST /authorize',
      [
        ['Authorization', `Bearer ${service.token}`],
        ['Content-Type', 'application/json'],
      ],
      '{"action":"a:b"}',
    );

  /** Questions, each on a connection that it would keep, whose records wait for a lock on the log. */
  async function askBehindLock(address: string, count: number): Promise<Wire[]> {
    lock = await service.db.transaction();
    await lock.raw('lock table decision_records in access exclusive mode');
    const wires = await Promise.all(Array.from({ length: count }, () => dial(address)));
    wires[0]?.send(question());
    await untilLockWaits(service.db, 'decision_records');
    for (const wire of wires.slice(1)) wire.send(question());
    await eventually(async () => (await metricsOf(address)).samples.get('authz_log_queue') === count - 1);
    return wires;
  }

  const refusesConnections = (address: string): Promise<boolean> =>
    dial(address).then(
      ({ socket }) => !socket.destroy(),
      (error: NodeJS.ErrnoException) => error.code === 'ECONNREFUSED',
    );

  it('answers what it accepted, refuses the rest, and ends with 0', async () => {
    const { address, child, log, exit } = await startProcess(settings({ LOG_LEVEL: 'debug' }));
    const idle = await dial(address);
    const halfAHead = await dial(address);
    halfAHead.send('POST /authorize HTTP/1.1\r\nHost:');
    const used = await dial(address);
    used.send(request('GET /healthz'));
    await eventually(() => used.text().includes('up.'));
    used.send('GET /');
    const accepted = await askBehindLock(address, 5);

    child.kill('SIGTERM');
    await eventually(() => refusesConnections(address));
    expect((await Promise.all([idle, halfAHead].map((wire) => wire.replies()))).flat()).to.deep.equal([]);
    expect(await used.replies()).to.have.length(1);
    // One more on a connection that has an answer due.
    accepted[0]?.send(question());
    await eventually(() => log().includes('"status":503'));
    expect(accepted.map((wire) => wire.text())).to.deep.equal(['', '', '', '', '']);

    await lock?.rollback();
    lock = undefined;
    for (const wire of accepted) {
      const [reply, ...others] = await wire.replies();
      expect(reply?.body).to.include({ Code: 'INVALID_API_KEY' });
      expect(reply?.headers.get('connection')).to.equal('close');
      expect(others).to.deep.equal([]);
      const recorded = await service.db('decisions').where({ id: reply?.body.Data?.['decisionId'] });
      expect(recorded).to.have.length(1);
    }
    expect(await exit).to.equal(0);
    expect(await countDecisions(service)).to.equal(accepted.length);
    expect(log()).to.include('"signal":"SIGTERM"').and.include('"msg":"stopped"');
  });

  it('is not held up by an answer that is a failure', async () => {
    const { address, stop, exit } = await serve(settings({ DECISION_DEADLINE_MS: '1000' }));
    const [wire] = await askBehindLock(address, 1);
    stop('SIGINT');
    const [reply] = (await wire?.replies()) ?? [];
    expect(reply?.status).to.equal(504);
    expect(reply?.headers.get('connection')).to.equal('close');
    expect(await exit).to.equal(0);
  });

  it('cuts off after SHUTDOWN_LIMIT_MS what is still not done', async () => {
    const { address, stop, exit } = await serve(settings({ SHUTDOWN_LIMIT_MS: '100' }));
    const [wire] = await askBehindLock(address, 1);
    const halfABody = await dial(address);
    halfABody.send(question().subarray(0, -5));
    stop();
    expect(await wire?.replies()).to.deep.equal([]);
    expect(await halfABody.replies()).to.deep.equal([]);
    await lock?.rollback();
    lock = undefined;
    expect(await exit).to.equal(0);
  });

  it('ends at once, with 3, at the second signal', async () => {
    const { address, child, log, exit } = await startProcess(settings());
    const [wire] = await askBehindLock(address, 1);
    child.kill('SIGTERM');
    await eventually(() => log().includes('"msg":"stopping"'));
    child.kill('SIGINT');
    expect(await exit).to.equal(3);
    expect(await wire?.replies()).to.deep.equal([]);
  });

  it('ends, with 0, after SHUTDOWN_LIMIT_MS of a start that waits for its database', async () => {
    const empty = await newDatabase(undefined, 'template1');
    const db = connect({ url: empty, poolSize: 2 });
    try {
      lock = await db.transaction();
      // As another process that migrates it, for as long as it likes.
      await lock.raw('select pg_advisory_xact_lock(7236542190417)');
      const child = startAuthz(['serve'], settings({ DATABASE_URL: empty, PORT: '0', SHUTDOWN_LIMIT_MS: '100' }));
      const said = outputWith(child, 'stopped during the start');
      await untilLockWaits(db, 'advisory');
      child.kill('SIGTERM');
      expect(await said).to.include('"signal":"SIGTERM"');
      expect(await once(child, 'close')).to.deep.equal([0, null]);
    } finally {
      await lock?.rollback();
      lock = undefined;
      await db.destroy();
    }
  });

  it('says during DRAIN_DELAY_MS that it is not ready, and goes on deciding', async () => {
    const { address, stop, exit } = await serve(settings({ DRAIN_DELAY_MS: '4000' }));
    stop();
    const bare = (line: string) => exchange(address, request(line, [['Connection', 'close']]));
    const [notReady] = await eventually(async () => {
      const replies = await bare('GET /readyz');
      return replies[0]?.status === 503 && replies;
    });
    expect(notReady?.body).to.deep.include({
      Success: false,
      Code: 'UNAVAILABLE',
      Message: 'The service is stopping.',
    });
    expect(notReady?.body.Data).to.include({ database: true, migrations: true, draining: true });
    expect(notReady?.headers.get('retry-after')).to.equal('1');
    expect((await bare('GET /healthz'))[0]?.status).to.equal(200);
    const wire = await dial(address);
    wire.send(question());
    await eventually(() => wire.text().includes('INVALID_API_KEY'));
    expect(await exit).to.equal(0);
    expect(await wire.replies()).to.have.length(1);
  });
});
