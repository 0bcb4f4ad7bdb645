/** No fault of the database becomes a decision of AuthZEN, or a result: a failure with its own status, and the service answers again afterwards. */

import path from 'node:path';
import { expect } from 'chai';
import { createToken } from '../../../src/credentials/token.ts';
import { importInto } from '../../support/access.ts';
import { ROOT } from '../../support/cli.ts';
import { newDatabase } from '../../support/postgres.ts';
import { startProxy, type Proxy as TcpProxy } from '../../support/proxy.ts';
import { startService, type TestService } from '../../support/service.ts';

const EXAMPLE = path.join(ROOT, 'examples', 'authzen-certification');
const [ALICE, READ, RECORD] = [{ type: 'user', id: 'alice' }, { name: 'read' }, { type: 'record', id: 'record-1' }];
const ASKED: readonly (readonly [endpoint: string, body: object])[] = [
  ['evaluation', { subject: ALICE, action: READ, resource: RECORD }],
  ['evaluation', { subject: { type: 'spaceship', id: 'x' }, action: READ, resource: RECORD }],
  ['evaluations', { subject: ALICE, resource: RECORD, evaluations: [{ action: READ }, {}] }],
  ['search/subject', { subject: { type: 'user' }, action: READ, resource: RECORD }],
  ['search/resource', { subject: ALICE, action: READ, resource: { type: 'record' } }],
  ['search/action', { subject: ALICE, resource: RECORD }],
];

describe('AuthZEN without the database', function () {
  this.timeout(60_000);
  let proxy: TcpProxy;
  let service: TestService;

  before(async () => {
    proxy = await startProxy(await newDatabase());
    service = await startService({
      DATABASE_URL: proxy.url,
      POLICY_DIR: path.join(EXAMPLE, 'policies'),
      DECISION_DEADLINE_MS: '1000',
    });
    await importInto(service, path.join(EXAMPLE, 'data.json'));
  });
  after(async () => {
    await proxy?.heal();
    await service?.close();
    await proxy?.close();
  });

  const statuses = async (): Promise<number[]> => {
    const found: number[] = [];
    for (const [endpoint, body] of ASKED) {
      const { status, body: got } = await service.ask(`/access/v1/${endpoint}`, body);
      if (status !== 200) expect(got, endpoint).to.have.all.keys('Success', 'Code', 'Message');
      found.push(status);
    }
    return found;
  };

  it('fails, and decides and finds nothing', async () => {
    expect(await statuses()).to.deep.equal(ASKED.map(() => 200));
    await proxy.refuse();
    for (const status of await statuses()) expect(status).to.be.oneOf([503, 504]);
    await proxy.heal();
    for (let tries = 0; (await statuses()).some((status) => status !== 200); tries += 1) {
      expect(tries).to.be.below(20);
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
  });

  it('that fails to read keys by name in time ends no other reads', async () => {
    const trx = await service.db.transaction();
    const answers: number[] = [];
    try {
      // Keys are read by name together with it, and by digest without.
      await trx.raw('lock table freezes in access exclusive mode');
      const [endpoint, body] = ASKED[0] as (typeof ASKED)[number];
      const named = () => service.ask(`/access/v1/${endpoint}`, body);
      answers.push(...(await Promise.all(Array.from({ length: 20 }, named))).map(({ status }) => status));
      answers.push((await named()).status);
      const { body: found } = await service.ask('/authorize', { apiKey: createToken('apiKey'), action: 'record:read' });
      expect(found.Code).to.equal('INVALID_API_KEY');
    } finally {
      await trx.rollback();
    }
    for (const status of answers) expect(status).to.be.oneOf([503, 504]);
  });
});
