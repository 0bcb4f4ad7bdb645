/** Questions of one turn as one batch: each has its own answer, error and end, whatever those beside it are. */

import { expect } from 'chai';
import {
  BadQuestion,
  type Client,
  createClient,
  NotPermitted,
  type Question,
  type Told,
  Unavailable,
} from '../../packages/client/src/index.ts';
import { withService } from '../support/client.ts';
import { rejection } from '../support/rejection.ts';
import { allow, fail, grant, type Pdp, reply, startPdp } from './pdp.ts';

const about = (businessId: string, more = {}): Question => ({
  apiKey: 'k',
  action: 'call:create',
  businessId,
  ...more,
});

describe('the client that makes batches', () => {
  let pdp: Pdp;
  let client: Client;
  let real: Client;
  let key: string;
  const told: Told[] = [];

  withService(async (started) => {
    await started.client.newUser('ann', '42');
    key = (await started.client.newKey('ann')).apiKey;
    pdp = await startPdp();
    const options = { deadlineMs: 30_000, coalesce: true, onDecision: (one: Told) => void told.push(one) };
    client = createClient({ url: pdp.url, token: 'iqra_svc_x', ...options });
    real = createClient({ url: started.service.address, token: started.service.token, ...options });
  });
  after(() => pdp?.close());
  beforeEach(() => {
    pdp.heard.length = 0;
    told.length = 0;
    pdp.behave = allow;
  });
  /** How many questions each request had. */
  const sizes = (): number[] =>
    pdp.heard.map(({ path, body }) =>
      path === '/authorize' ? 1 : (body as { requests: readonly unknown[] }).requests.length,
    );

  it('asks what is asked in one turn at once, and gives each its own', async () => {
    const ids = Array.from({ length: 130 }, (_, at) => `b${at}`);
    const decisions = await Promise.all(ids.map((id) => client.authorize(about(id))));
    expect(decisions.map(({ Data }) => Data.businessId)).to.deep.equal(ids);
    expect(sizes().toSorted()).to.deep.equal([100, 30]);
    expect(new Set(told.map(({ requestId }) => requestId))).to.deep.equal(
      new Set(pdp.heard.map(({ headers }) => headers['x-request-id'])),
    );
    await client.authorize(about('one'));
    expect(pdp.heard.at(-1)?.path).to.equal('/authorize');
  });

  it('splits by size, too', async () => {
    const attributes = Object.fromEntries(Array.from({ length: 64 }, (_, at) => [`name_${at}`, '\u00fc'.repeat(64)]));
    await Promise.all(
      Array.from({ length: 60 }, (_, at) => client.authorize(about(`${at}`, { context: { attributes } }))),
    );
    expect(sizes()).to.have.length.above(1);
    for (const { body } of pdp.heard) expect(Buffer.byteLength(JSON.stringify(body))).to.be.at.most(256 * 1024);
  });

  it('puts neither other deadlines nor other traces into a batch', async () => {
    const trace = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    await Promise.all([
      client.authorize(about('a')),
      client.authorize(about('b')),
      client.authorize(about('c'), { deadlineMs: 29_000 }),
      client.authorize(about('d'), { traceparent: trace }),
      client.authorize(about('e'), { requestId: 'own' }),
    ]);
    expect(sizes().toSorted()).to.deep.equal([1, 1, 1, 2]);
    expect(pdp.heard.map(({ headers }) => headers['traceparent']).filter(Boolean)).to.deep.equal([trace]);
  });

  it('lets no bad question fail its neighbours', async () => {
    const good = { apiKey: key, action: 'call:create', businessId: '42' };
    const questions = [
      good,
      { ...good, action: 'Call' },
      { ...good, businessId: 'nowhere' },
      { ...good, businessId: '..' },
      good,
    ];
    const outcomes = await Promise.allSettled(questions.map((question) => real.authorize(question)));
    const brief = outcomes.map((outcome) =>
      outcome.status === 'fulfilled'
        ? outcome.value.Code
        : (outcome.reason as BadQuestion).issues.map(({ path }) => path),
    );
    expect(brief).to.deep.equal(['OK', ['action'], 'PERMISSION_DENIED', ['businessId'], 'OK']);
    const cannotBeWritten = { ...good, businessId: 1n } as unknown as Question;
    const [bad, neighbour] = await Promise.allSettled([real.authorize(cannotBeWritten), real.authorize(good)]);
    expect([(bad as PromiseRejectedResult).reason, neighbour.status]).to.satisfy(
      ([reason, status]: [unknown, string]) => reason instanceof BadQuestion && status === 'fulfilled',
    );
  });

  it('asks one by one where a batch fails and names none', async () => {
    for (const [status, code] of [
      [400, 'INVALID_REQUEST'],
      [403, 'FORBIDDEN'],
      [413, 'PAYLOAD_TOO_LARGE'],
    ] as const) {
      pdp.heard.length = 0;
      pdp.behave = (heard, ...rest) => {
        const foreign = JSON.stringify(heard.body).includes('foreign');
        return foreign ? fail(status, code)(heard, ...rest) : allow(heard, ...rest);
      };
      const outcomes = await Promise.allSettled(['a', 'foreign', 'b'].map((id) => client.authorize(about(id))));
      expect(outcomes.map((outcome) => outcome.status)).to.deep.equal(['fulfilled', 'rejected', 'fulfilled']);
      expect((outcomes[1] as PromiseRejectedResult).reason).to.be.instanceOf(
        status === 403 ? NotPermitted : BadQuestion,
      );
      expect(sizes()).to.deep.equal([3, 1, 1, 1]);
    }
  });

  it('fails all of them where the service fails', async () => {
    pdp.behave = fail(503, 'UNAVAILABLE');
    const outcomes = await Promise.allSettled(['a', 'b'].map((id) => client.authorize(about(id))));
    for (const outcome of outcomes) expect((outcome as PromiseRejectedResult).reason).to.be.instanceOf(Unavailable);
    expect(sizes()).to.deep.equal([2]);
    expect(told.map(({ error }) => (error as Unavailable).name)).to.deep.equal(['Unavailable', 'Unavailable']);
  });

  it('ends those whose caller gives up, and goes on with the others', async () => {
    const controller = new AbortController();
    pdp.behave = async (...asked) => {
      controller.abort(new Error('gone'));
      return allow(...asked);
    };
    const [gone, stays] = [client.authorize(about('a'), { signal: controller.signal }), client.authorize(about('b'))];
    const before = rejection(client.authorize(about('c'), { signal: AbortSignal.abort(new Error('before')) }));
    expect([(await rejection(gone)).message, (await before).message]).to.deep.equal(['gone', 'before']);
    expect((await stays).allowed).to.equal(true);
    expect(sizes()).to.deep.equal([2]);

    pdp.behave = () => undefined;
    const all = new AbortController();
    const both = ['a', 'b'].map((id) => rejection(client.authorize(about(id), { signal: all.signal })));
    setImmediate(() => all.abort(new Error('all gone')));
    expect((await Promise.all(both)).map(({ message }) => message)).to.deep.equal(['all gone', 'all gone']);
  });

  it('is not changed by an onDecision that would turn it round', async () => {
    pdp.behave = ({ body }, response) => {
      const { Data } = grant(body) as { Data: object };
      reply(response, { Success: false, Code: 'FROZEN', Message: 'x', Data: { ...Data, status: 403 } });
    };
    const onDecision = ({ decision }: Told): void => {
      Reflect.set(decision ?? {}, 'allowed', true);
      Reflect.set(decision?.Data ?? {}, 'status', 200);
    };
    const watched = createClient({ url: pdp.url, token: 'iqra_svc_x', deadlineMs: 30_000, onDecision });
    const { allowed, Data } = await watched.authorize(about('a'));
    expect([allowed, Data.status]).to.deep.equal([false, 403]);
  });

  it('is not changed by an onDecision that fails', async () => {
    const warnings: Error[] = [];
    const note = (warning: Error): void => void (warning.name === 'AuthzWarning' && warnings.push(warning));
    process.on('warning', note);
    for (const onDecision of [
      () => {
        throw new Error('no metrics');
      },
      async () => {
        throw new Error('no metrics');
      },
    ]) {
      const failing = createClient({ url: pdp.url, token: 'iqra_svc_x', deadlineMs: 30_000, onDecision });
      expect((await failing.authorize(about('a'))).allowed).to.equal(true);
    }
    while (warnings.length < 2) await new Promise(setImmediate);
    process.off('warning', note);
    expect(warnings.map(({ message }) => message)).to.deep.equal(
      Array(2).fill('onDecision of a client of iqra-authz failed: Error: no metrics'),
    );
  });
});
