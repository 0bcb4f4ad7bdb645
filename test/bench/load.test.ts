/** The load generator counts what a server answered, and how late: all figures of speed rest on it. */

import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import type { Load } from './load.ts';
import { type Generator, startGenerator } from './processes.ts';

const BODIES = ['{"n":0}', '{"n":1}', '{"n":2}', '{"n":3}'];
const ALLOW = '{"Success":true}';

describe('the load generator', () => {
  let folder: string;
  let bodies: string;
  let generator: Generator;
  let server: Server;
  let seen: string[];
  let answer: (body: string, nth: number, response: Parameters<RequestListener>[1]) => void;

  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'authz-bench-load-'));
    bodies = path.join(folder, 'bodies');
    await writeFile(bodies, BODIES.map((body) => `${body}\n`).join(''));
    generator = startGenerator();
    server = createServer((request, response) => {
      let body = '';
      request.on('data', (chunk) => {
        body += chunk;
      });
      request.on('end', () => answer(`${request.method} ${request.url} ${body}`, seen.push(body), response));
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
  });
  beforeEach(() => {
    seen = [];
    answer = (_, _nth, response) => response.setHeader('Content-Length', ALLOW.length).end(ALLOW);
  });
  after(async () => {
    generator.stop();
    server.closeAllConnections();
    server.close();
    await rm(folder, { recursive: true });
  });

  const run = (load: Partial<Load>) =>
    generator.run({
      port: (server.address() as AddressInfo).port,
      connections: 2,
      line: 'POST /here',
      headers: [],
      bodies,
      milliseconds: 10_000,
      ...load,
    });

  it('sends each body once where that is asked for, and from where it is asked to', async () => {
    const { succeeded, failed } = await run({ once: true });
    expect({ succeeded, failed }).to.deep.equal({ succeeded: 4, failed: 0 });
    expect(seen.sort()).to.deep.equal(BODIES);
    seen = [];
    await run({ once: true, from: 1, count: 2 });
    expect(seen.sort()).to.deep.equal(BODIES.slice(1, 3));
  });

  it('sends them again and again, as many as are answered, until the time is over', async () => {
    // On one connection, since those of two may overtake each other.
    const { succeeded, failed, seconds } = await run({ connections: 1, milliseconds: 300 });
    expect(failed).to.equal(0);
    expect(seen.length).to.equal(succeeded).and.to.be.above(BODIES.length);
    expect(seen.slice(0, 8)).to.deep.equal([...BODIES, ...BODIES]);
    expect(seconds).to.be.at.least(0.29);
  });

  it('counts as a failure what has another status or another body, and shows the first', async () => {
    const denial = '{"Success":false,"Code":"WHY"}';
    answer = (_, nth, response) => {
      const text = nth === 2 ? denial : ALLOW;
      response.writeHead(nth === 3 ? 503 : 200, { 'Content-Length': text.length }).end(text);
    };
    const { succeeded, failed, failure } = await run({ once: true, connections: 1 });
    expect({ succeeded, failed }).to.deep.equal({ succeeded: 2, failed: 2 });
    expect(failure).to.match(/^HTTP\/1.1 200 [\s\S]*"Code":"WHY"/);
  });

  it('takes for a success what is expected instead', async () => {
    answer = (_, _nth, response) => {
      const text = '{"results":[{"actions":{"call:create":"EFFECT_ALLOW"}}]}';
      response.setHeader('Content-Length', text.length).end(text);
    };
    expect(await run({ once: true, expect: '"EFFECT_ALLOW"' })).to.include({ succeeded: 4, failed: 0 });
    expect(await run({ once: true })).to.include({ succeeded: 0, failed: 4 });
  });

  it('reads an answer that comes in parts to its end, and is not misled by what comes late', async () => {
    answer = (_, _nth, response) => {
      response.setHeader('Content-Length', 100_000).write(ALLOW);
      setImmediate(() => response.end(' '.repeat(100_000 - ALLOW.length)));
    };
    expect(await run({ once: true })).to.include({ succeeded: 4, failed: 0 });
  });

  it('tells how long answers took', async () => {
    const held: (() => void)[] = [];
    answer = (_, _nth, response) => {
      held.push(() => response.setHeader('Content-Length', ALLOW.length).end(ALLOW));
      const answerAll = (): void => {
        for (const send of held.splice(0)) send();
      };
      if (held.length === 2) setTimeout(answerAll, 50);
    };
    expect((await run({ once: true })).p50).to.be.at.least(49);
  });

  it('counts what waited for a connection from when it was due: a server that falls behind cannot hide it', async () => {
    answer = (_, _nth, response) => {
      setTimeout(() => response.setHeader('Content-Length', ALLOW.length).end(ALLOW), 20);
    };
    // At most 50 a second are answered, and 200 are due: the last that is answered was due when a quarter of the time was over.
    const { p50, p99, succeeded } = await run({ connections: 1, rate: 200, milliseconds: 400 });
    expect(succeeded).to.be.at.most(21);
    expect(p50).to.be.at.least(100);
    expect(p99).to.be.at.least(200);
  });

  it('keeps to a rate, whatever the server could bear', async () => {
    const { succeeded, seconds } = await run({ rate: 200, milliseconds: 500 });
    expect(succeeded).to.be.at.most(200 * seconds + 1);
    expect(succeeded).to.be.above(0);
  });
});
