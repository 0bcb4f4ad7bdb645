/** Spans on their way: a collector that is down, slow or odd costs spans, which are counted, and nothing else. */

import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { AlwaysOnSampler, TracerProvider } from '@opentelemetry/sdk-trace';
import { expect } from 'chai';
import { createLog } from '../../src/log.ts';
import { spanSender } from '../../src/telemetry/send-spans.ts';
import { createSpanQueue } from '../../src/telemetry/span-queue.ts';
import { eventually } from '../support/embedded.ts';
import { type Collector, namesIn, startCollector } from './collector.ts';

const until = (holds: () => boolean) => eventually(() => holds() || undefined);

type Sender = Parameters<typeof spanSender>[0];
const BOUNDS = { everyMs: 5, retryMs: [5, 5], closeMs: 200 };

describe('spans on their way to the collector', () => {
  let collector: Collector;

  beforeEach(async () => {
    collector = await startCollector();
  });
  afterEach(() => collector.close());

  function queue({ bounds = {}, ...sender }: Partial<Sender> & { bounds?: object } = {}) {
    const out = new PassThrough();
    const send = spanSender({
      url: `${collector.url}/v1/traces`,
      headers: {},
      protocol: 'http/json',
      compression: 'none',
      timeoutMs: 5000,
      ...sender,
    });
    const spans = createSpanQueue(send, createLog('info', out), { ...BOUNDS, ...bounds });
    const tracer = new TracerProvider({ sampler: new AlwaysOnSampler(), spanProcessors: [spans] }).getTracer('test');
    const make = (count: number, name = 'a span'): void => {
      for (let made = 0; made < count; made += 1) tracer.startSpan(name).end();
    };
    return { ...spans, make, log: () => String(out.read() ?? '') };
  }

  it('go in messages, in JSON or protobuf, compressed or not, with the headers that were set', async () => {
    const headers = { 'api-key': 'abc' };
    for (const protocol of ['http/json', 'http/protobuf'] as const)
      for (const compression of ['none', 'gzip'] as const) {
        collector.messages.length = 0;
        const { make, counts } = queue({ protocol, compression, headers, bounds: { batch: 2 } });
        make(5, `one of ${protocol}`);
        await until(() => counts().exported === 5);
        expect(collector.messages).to.have.lengthOf(3);
        for (const { body, headers: sent } of collector.messages) {
          expect(sent).to.include({ 'api-key': 'abc' });
          expect(sent['content-encoding']).to.equal(compression === 'gzip' ? 'gzip' : undefined);
          const names = protocol === 'http/json' ? body.toString().match(/one of http\/json/g) : namesIn(body);
          expect(new Set(names)).to.deep.equal(new Set([`one of ${protocol}`]));
        }
      }
  });

  it('are tried again where that may help, after as long as the collector says, and given up after some tries', async () => {
    const { make, counts, log } = queue();
    let answers = 0;
    collector.answer = (response) => {
      answers += 1;
      if (answers === 2) collector.answer = undefined;
      response.writeHead(503, { 'retry-after': '0' }).end();
    };
    make(1);
    await until(() => counts().exported === 1);
    expect(answers).to.equal(2);
    expect(log()).to.equal('');

    collector.answer = (response) => {
      answers += 1;
      response.writeHead(429).end();
    };
    make(1);
    await until(() => counts().failed === 1);
    expect(answers).to.equal(5);
    collector.answer = (response) => {
      answers += 1;
      response.writeHead(400).end('a text that may hold what was sent');
    };
    make(1);
    await until(() => counts().failed === 2);
    expect(answers).to.equal(6);
    const lines = log();
    expect(lines.split('\n').filter(Boolean)).to.have.lengthOf(1);
    expect(lines).to.include('answered 429').and.not.include('what was sent');

    collector.answer = undefined;
    make(1);
    await until(() => counts().exported === 2);
    expect(log()).to.include('traces are sent again').and.include('"lost":2');
  });

  it('are lost beyond the bound, and wait for nobody, while the collector is silent', async () => {
    collector.answer = () => undefined;
    // A shutdown that waited for the collector would last longer than mocha lets a test.
    const { make, counts, shutdown, log } = queue({ timeoutMs: 600_000, bounds: { most: 20, batch: 10 } });
    make(10);
    await sleep(0);
    make(50);
    expect(counts()).to.deep.equal({ exported: 0, failed: 0, dropped: 30 });
    await shutdown();
    expect(counts()).to.deep.equal({ exported: 0, failed: 30, dropped: 30 });
    expect(log().match(/"level":"warn"/g)).to.have.lengthOf(1);
    make(1);
    expect(counts().dropped).to.equal(31);
  });

  it('are all sent at the end, those that wait for another try too', async () => {
    const { make, counts, shutdown } = queue({ bounds: { everyMs: 60_000, retryMs: [60_000], batch: 3 } });
    collector.answer = (response) => {
      collector.answer = undefined;
      response.writeHead(503).end();
    };
    make(4);
    await until(() => collector.answer === undefined);
    make(4);
    await shutdown();
    // The first three were told to wait for longer than there is.
    expect(counts().exported + counts().failed).to.equal(8);
    expect(counts().exported).to.be.at.least(5);
  });

  it('that a collector refuses are counted as lost, whatever it answers besides', async () => {
    const { make, counts } = queue({ bounds: { batch: 5 } });
    const bodies = ['{"partialSuccess":{"rejectedSpans":"2"}}', '{"partialSuccess":{"rejectedSpans":-7}}', 'odd', ''];
    for (const [index, body] of bodies.entries()) {
      collector.answer = (response) => response.writeHead(200).end(body);
      make(5);
      await until(() => counts().exported + counts().failed === 5 * (index + 1));
    }
    expect(counts()).to.deep.equal({ exported: 18, failed: 2, dropped: 0 });
  });

  it('are sent to a collector whose answers have no end, of which little is read', async () => {
    const { make, counts } = queue({ bounds: { batch: 5 }, timeoutMs: 60_000 });
    let closed = 0;
    collector.answer = (response) => {
      response.on('close', () => {
        closed += 1;
      });
      response.writeHead(200);
      const more = (): unknown => response.destroyed || response.write('x'.repeat(65_536), () => setImmediate(more));
      more();
    };
    make(5);
    await until(() => counts().exported === 5 && closed === 1);
  });

  it('are sent nowhere else, and a collector that is down is named by what happened', async () => {
    const { make, counts, log } = queue();
    const elsewhere = await startCollector();
    collector.answer = (response) => response.writeHead(307, { location: `${elsewhere.url}/v1/traces` }).end();
    make(1);
    await until(() => counts().failed === 1);
    expect(elsewhere.messages).to.deep.equal([]);
    await elsewhere.close();
    expect(log()).to.include('answered 307');

    const down = queue({ url: `${elsewhere.url}/v1/traces` });
    down.make(1);
    await until(() => down.counts().failed === 1);
    expect(down.log()).to.include('ECONNREFUSED');
  });
});
