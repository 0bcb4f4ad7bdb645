/**
 * Fuzzing: any input gets an answer in the shape of the contract, never a 5xx, and only decisions are recorded. FC_SEED
 * repeats a run; FC_RUNS lengthens it.
 */

import { expect } from 'chai';
import fc from 'fast-check';
import type { FailureCode } from '../../src/errors.ts';
import { parseJson } from '../../src/input/json.ts';
import { withService } from '../support/client.ts';
import { insertKey, type Reply, type TestService } from '../support/service.ts';
import { isUnambiguous } from './json-oracle.ts';
import { damaged, jsonText, odd, spelled } from './json-texts.ts';
import { countDecisions, dial, expectFailure, type HeaderList, request } from './wire.ts';

const SEED = Number(process.env['FC_SEED'] ?? 20_240_229);
const RUNS = Number(process.env['FC_RUNS'] ?? 1);
const runs = (numRuns: number) => ({ seed: SEED, numRuns: numRuns * RUNS });

describe(`fuzzed input (FC_SEED=${SEED})`, function () {
  this.timeout(30_000 * RUNS);
  let service: TestService;
  let apiKey: string;

  withService(async (started) => {
    ({ service } = started);
    await service.db('users').insert({ id: 'ann' });
    apiKey = await insertKey(service, { user_id: 'ann' });
  });

  it('is accepted as JSON exactly when the oracle accepts it', () => {
    const taken = (text: string): boolean => {
      try {
        parseJson(Buffer.from(text));
        return true;
      } catch (error) {
        expect(error).to.include({ code: 'INVALID_REQUEST' });
        return false;
      }
    };
    const seen = { taken: 0, refused: 0 };
    fc.assert(
      fc.property(
        fc.oneof(
          jsonText,
          damaged,
          fc.json().chain((text) => spelled(JSON.parse(text))),
        ),
        (text) => {
          fc.pre(text.isWellFormed());
          const verdict = isUnambiguous(text);
          seen[verdict ? 'taken' : 'refused'] += 1;
          expect(taken(text), text).to.equal(verdict);
        },
      ),
      runs(3000),
    );
    expect(Math.min(seen.taken, seen.refused)).to.be.above(500);
  });

  /** How many decisions there should be by now. */
  let decided = 0;

  /** Fails unless the answer is a decision or a failure as the contract has them, and the log agrees. */
  const check = async (reply: Reply): Promise<void> => {
    const { status, body } = reply;
    if (status === 200 && body.Data) {
      const answers = (body.Data['decisions'] as Reply['body'][] | undefined) ?? [body];
      decided += answers.length;
      const ids = answers.map((answer) => answer.Data?.['decisionId'] as string);
      expect(await service.db('decisions').whereIn('id', ids)).to.have.length(answers.length);
    } else if (status === 200) {
      expect(body).to.deep.equal({ Success: true, Code: 'OK', Message: 'The process is up.' });
    } else {
      expectFailure(reply, body.Code as FailureCode, [service.token, apiKey]);
      expect(status).to.be.below(500);
    }
    expect(await countDecisions(service)).to.equal(decided);
  };

  it('as a body, gets an answer of the contract', async () => {
    const field = (...values: unknown[]) =>
      fc.oneof({ arbitrary: fc.constantFrom(...values), weight: 6 }, { arbitrary: odd, weight: 1 });
    const question = fc.record(
      {
        apiKey: field('KEY', null, 'x'),
        authorization: field(null, undefined, 'Token KEY'),
        action: field('call:create', 'account:read'),
        businessId: field('42', 42, null),
        context: field({}, { ip: '::1' }, { userAgent: 'x', requestId: 'y' }),
        extra: odd,
      },
      { requiredKeys: ['action'] },
    );
    const body = fc.oneof(
      question.chain(spelled),
      fc.array(question, { maxLength: 5 }).chain((requests) => spelled({ requests })),
      jsonText,
      damaged,
    );
    const sent = fc.oneof(
      { arbitrary: body.map((text) => Buffer.from(text.replaceAll('KEY', () => apiKey))), weight: 6 },
      { arbitrary: fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)), weight: 1 },
    );
    const seen = new Set<number>();
    await fc.assert(
      fc.asyncProperty(fc.constantFrom('/authorize', '/authorize/batch'), sent, async (address, bytes) => {
        const reply = await service.ask(address, bytes);
        seen.add(reply.status);
        await check(reply);
      }),
      runs(300),
    );
    expect([...seen]).to.include.members([200, 400]);
  });

  const token = fc.stringMatching(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,12}$/);
  const headerValue = fc.string({
    unit: fc.integer({ min: 0x20, max: 0xff }).map((code) => String.fromCharCode(code)),
    maxLength: 20,
  });
  const header = fc.tuple(
    fc.oneof(
      token,
      fc.constantFrom(
        'Content-Type',
        'Content-Encoding',
        'Accept',
        'X-Request-Id',
        'Expect',
        'Cookie',
        'Range',
        'If-Match',
        'TE',
        'Via',
        'Origin',
      ),
    ),
    fc.oneof(headerValue, fc.constantFrom('application/json', 'text/plain', 'gzip', '100-continue', 'trailers', '*/*')),
  );

  it('as headers, gets an answer of the contract', async () => {
    const credentials = fc.constantFrom<HeaderList>(
      [['Authorization', 'Bearer TOKEN']],
      [['Authorization', 'Bearer x']],
      [],
    );
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom('POST /authorize', 'POST /authorize/batch', 'GET /healthz', 'PUT /authorize'),
        credentials,
        fc.array(header, { maxLength: 5 }),
        async (line, authorization, others) => {
          const headers = [...authorization, ...others].map(
            ([name, value]) => [name, value.replace('TOKEN', service.token)] as const,
          );
          const wire = await dial(service.address);
          wire.send(request(line, [['Connection', 'close'], ...headers], '{"action":"a:b"}'));
          wire.socket.end();
          const replies = await wire.replies();
          expect(replies).to.have.length(1);
          for (const reply of replies) await check(reply);
        },
      ),
      runs(200),
    );
  });

  it('as bytes, gets answers of the contract or none, and the connection ends', async () => {
    const line = request('POST /authorize', [['Authorization', 'Bearer x']], '{"action":"a:b"}').toString('latin1');
    const bytes = fc.oneof(
      fc.uint8Array({ minLength: 1, maxLength: 200 }).map((array) => Buffer.from(array)),
      fc
        .tuple(fc.nat(line.length), fc.nat(20), fc.uint8Array({ maxLength: 10 }))
        .map(([at, length, array]) =>
          Buffer.concat([Buffer.from(line.slice(0, at)), Buffer.from(array), Buffer.from(line.slice(at + length))]),
        ),
    );
    await fc.assert(
      fc.asyncProperty(bytes, async (sent) => {
        const wire = await dial(service.address);
        wire.send(sent);
        wire.socket.end();
        for (const reply of await wire.replies()) await check(reply);
      }),
      runs(300),
    );
    const reply = await service.ask('/authorize', { apiKey, action: 'account:read' });
    expect(reply.body.Code).to.equal('OK');
  });
});
