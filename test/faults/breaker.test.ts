/** The circuit breaker: by itself, with reads that fail and hang on demand, and in a service, where only faults count. */

import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { createToken } from '../../src/credentials/token.ts';
import { createBreaker } from '../../src/db/breaker.ts';
import { deadlineIn } from '../../src/deadline.ts';
import { Failure } from '../../src/errors.ts';
import { newDatabase } from '../support/postgres.ts';
import { insertKey, startService } from '../support/service.ts';

const OPEN_MS = 500;
const CAPACITY = 2000;

const fine = async (): Promise<string> => 'fine';
const broken = async (): Promise<never> => {
  throw new Error('broken');
};
const hanging = (): Promise<never> => new Promise(() => undefined);

/** The outcome of a read in a word, and whether the database was asked. */
async function outcome(breaker: ReturnType<typeof createBreaker>, read: () => Promise<string>, milliseconds = 1000) {
  let asked = false;
  const counted = (): Promise<string> => {
    asked = true;
    return read();
  };
  try {
    return { said: await breaker(counted, deadlineIn(milliseconds)), asked };
  } catch (error) {
    expect(error).to.be.instanceOf(Failure);
    return { said: (error as Failure).code, retryAfter: (error as Failure).retryAfterSeconds, asked };
  }
}

async function opened() {
  const breaker = createBreaker();
  for (let read = 0; read < 20; read++) await outcome(breaker, broken);
  expect(breaker.state()).to.equal('open');
  return breaker;
}

describe('the breaker', () => {
  it('opens after faults, and then fails at once without asking', async () => {
    const breaker = await opened();
    expect(await outcome(breaker, fine)).to.deep.equal({ said: 'UNAVAILABLE', retryAfter: 1, asked: false });
  });

  it('opens after reads that hang, each of which fails at its deadline', async () => {
    const breaker = createBreaker();
    const reads = await Promise.all(Array.from({ length: 20 }, () => outcome(breaker, hanging, 20)));
    for (const { said, asked } of reads) expect([said, asked]).to.deep.equal(['DEADLINE_EXCEEDED', true]);
    expect(breaker.state()).to.equal('open');
  });

  it('then lets one read through (half-open), and closes when it succeeds', async () => {
    const breaker = await opened();
    await sleep(OPEN_MS + 50);
    let answer: (text: string) => void = () => undefined;
    const trial = outcome(breaker, () => new Promise<string>((resolve) => (answer = resolve)));
    expect((await outcome(breaker, fine)).asked, 'the second read').to.equal(false);
    answer('fine');
    expect((await trial).said).to.equal('fine');
    expect(breaker.state()).to.equal('closed');
    expect((await outcome(breaker, fine)).said).to.equal('fine');
  });

  it('opens again when that read fails or hangs, and lets another through later', async () => {
    const breaker = await opened();
    for (const read of [broken, hanging]) {
      await sleep(OPEN_MS + 50);
      expect((await outcome(breaker, read, 20)).asked).to.equal(true);
      expect(breaker.state()).to.equal('open');
    }
    await sleep(OPEN_MS + 50);
    expect((await outcome(breaker, fine)).said).to.equal('fine');
  });

  it('refuses more reads in flight than its capacity', async () => {
    const breaker = createBreaker();
    const reads = Array.from({ length: CAPACITY }, () => outcome(breaker, hanging, 50));
    expect(await outcome(breaker, fine)).to.deep.equal({ said: 'UNAVAILABLE', retryAfter: 1, asked: false });
    await Promise.all(reads);
  });

  it('returns the result of each read to its own caller', async () => {
    const breaker = createBreaker();
    const said = await Promise.all(['a', 'b'].map((text) => outcome(breaker, async () => text)));
    expect(said.map((each) => each.said)).to.deep.equal(['a', 'b']);
  });

  it('does not count unknown, malformed, revoked and denied keys, or unknown callers, as faults', async () => {
    const service = await startService({ DATABASE_URL: await newDatabase() });
    try {
      await service.db('users').insert({ id: 'ann' });
      const apiKey = await insertKey(service, { user_id: 'ann' });
      const revoked = await insertKey(service, { user_id: 'ann', revoked_at: '2020-01-01T00:00:00Z' });
      const codeOf = async (key: string, action: string, headers = {}): Promise<string> =>
        (await service.ask('/authorize', { apiKey: key, action }, headers)).body.Code;
      for (let time = 0; time < 12; time++) {
        const codes = await Promise.all([
          codeOf(createToken('apiKey'), 'account:read'),
          codeOf('junk', 'account:read'),
          codeOf(revoked, 'account:read'),
          codeOf(apiKey, 'user:update'),
          codeOf(apiKey, 'account:read', { authorization: `Bearer ${createToken('caller')}` }),
        ]);
        const invalid = Array.from({ length: 3 }, () => 'INVALID_API_KEY');
        expect(codes).to.deep.equal([...invalid, 'PERMISSION_DENIED', 'UNAUTHENTICATED']);
      }
      expect(await codeOf(apiKey, 'account:read')).to.equal('OK');
    } finally {
      await service.close();
    }
  });
});
