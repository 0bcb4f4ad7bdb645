/**
 * The compiled schemas of questions agree with zod: what they accept, zod accepts with the same outcome; and they accept
 * the questions that services usually ask, for which they are compiled. FC_SEED repeats a run; FC_RUNS lengthens it.
 */

import { expect } from 'chai';
import fc from 'fast-check';
import { createToken } from '../../src/credentials/token.ts';
import { authorizeSchema, batchSchema } from '../../src/http/routes/authorize-schema.ts';
import { compile } from '../../src/input/compile.ts';
import { odd } from './json-texts.ts';

const SEED = Number(process.env['FC_SEED'] ?? 20_240_301);
const runs = (numRuns: number) => ({ seed: SEED, numRuns: numRuns * Number(process.env['FC_RUNS'] ?? 1) });

const acceptQuestion = compile(authorizeSchema);
const acceptBatch = compile(batchSchema);
const KEY = createToken('apiKey');
const TOKEN = createToken('caller');
const USUAL = {
  authorization: `Token ${KEY}`,
  action: 'call:create',
  businessId: '42',
  context: {
    ip: '203.0.113.7',
    userAgent: 'curl/8.5',
    requestId: '7f3a',
    attributes: { soft: true, status: 'active' },
  },
};

describe(`a compiled question (FC_SEED=${SEED})`, () => {
  /** Mostly sound values, sometimes unsound ones of the same kind, rarely anything. */
  const field = (sound: readonly unknown[], unsound: readonly unknown[]) =>
    fc.oneof(
      { arbitrary: fc.constantFrom(...sound), weight: 12 },
      { arbitrary: fc.constantFrom(...unsound), weight: 2 },
      { arbitrary: odd, weight: 1 },
    );
  const client = field(
    ['', 'x', 'x'.repeat(128), `a ${KEY} b`, TOKEN],
    ['x'.repeat(129), 'x'.repeat(512), 'x'.repeat(513), null],
  );
  const secret = field(['', KEY, `Token ${KEY}`, `token  ${KEY}`, 'Bearer x'], [undefined, null, 7]);
  const credentials = fc.oneof(
    { arbitrary: secret.map((authorization) => ({ authorization })), weight: 4 },
    { arbitrary: secret.map((apiKey) => ({ apiKey })), weight: 4 },
    { arbitrary: fc.record({ authorization: secret, apiKey: secret }), weight: 1 },
  );
  const extra = fc.oneof(
    { arbitrary: fc.constant({}), weight: 9 },
    {
      arbitrary: fc.constantFrom('extra', '__proto__', 'constructor').map((name) => JSON.parse(`{"${name}":1}`)),
      weight: 1,
    },
  );
  const context = fc.record(
    {
      ip: field(['::1', '1.2.3.4'], ['1.2.3', '::1%x']),
      userAgent: client,
      requestId: client,
      attributes: field(
        [{}, { soft: true, status: 'active' }, { status: 'x'.repeat(64) }],
        [
          { status: 'x'.repeat(65) },
          { soft: 1 },
          { soft: null },
          { a: {} },
          [],
          null,
          { status: `a${KEY.slice(0, 40)}` },
        ],
      ),
    },
    { requiredKeys: [] },
  );
  const fields = fc.record(
    {
      action: field(['call:create', 'a:b', `a:${'b'.repeat(126)}`], [`a:${'b'.repeat(127)}`, 'call', 'a:b\n', KEY]),
      businessId: field(
        ['42', 'x'.repeat(64), 'a.b'],
        [42, -1, 1.5, null, 'x'.repeat(65), 'a b', '', KEY, TOKEN, '42\n'],
      ),
      context: fc.oneof({ arbitrary: context, weight: 4 }, { arbitrary: field([{}], [null, [], 'x']), weight: 1 }),
    },
    { requiredKeys: ['action'] },
  );
  /** With own properties of any name. */
  const merged = (parts: readonly object[]): object =>
    Object.fromEntries(parts.flatMap((part) => Object.entries(part)));
  const question = fc.tuple(credentials, fields, extra).map(merged);
  const any = fc.oneof({ arbitrary: question, weight: 9 }, { arbitrary: odd, weight: 1 });

  it('is accepted with the outcome that zod gives it, or left to zod', () => {
    const seen = { accepted: 0, left: 0 };
    fc.assert(
      fc.property(any, (body) => {
        const accepted = acceptQuestion(body);
        seen[accepted ? 'accepted' : 'left'] += 1;
        if (accepted) expect(authorizeSchema.safeParse(body)).to.deep.equal({ success: true, data: accepted });
      }),
      runs(20_000),
    );
    expect(Math.min(seen.accepted, seen.left)).to.be.above(500);
  });

  it('is accepted in a batch with the outcome that zod gives it, or left to zod', () => {
    const seen = { accepted: 0, left: 0 };
    const good = fc.constantFrom(USUAL, { apiKey: KEY, action: 'a:b' }, { action: 'a:b', context: {} });
    const items = fc.array(fc.oneof({ arbitrary: good, weight: 12 }, { arbitrary: any, weight: 1 }), { maxLength: 6 });
    const many = fc.nat(102).map((length) => Array(length).fill(USUAL));
    const batch = fc.record({ requests: fc.oneof(items, many), extra: odd }, { requiredKeys: ['requests'] });
    fc.assert(
      fc.property(fc.oneof({ arbitrary: batch, weight: 9 }, { arbitrary: odd, weight: 1 }), (body) => {
        const accepted = acceptBatch(body);
        seen[accepted ? 'accepted' : 'left'] += 1;
        if (accepted) expect(batchSchema.safeParse(body)).to.deep.equal({ success: true, data: accepted });
      }),
      runs(3000),
    );
    expect(Math.min(seen.accepted, seen.left)).to.be.above(300);
  });

  it('is accepted where it is one that services usually ask', () => {
    const { context, businessId, ...bare } = USUAL;
    for (const body of [USUAL, bare, { ...bare, context }, { ...bare, businessId }, { apiKey: KEY, action: 'a:b' }]) {
      expect(acceptQuestion(body)).to.not.equal(undefined);
      expect(acceptBatch({ requests: [body, body] })).to.not.equal(undefined);
    }
  });
});
