/** The webhook: signed as the specification has it, verified by the example of the docs, and given to nobody else. */

import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect } from 'chai';
import { describeConfig, loadConfig } from '../../src/config.ts';
import { send, signaturesOf, webhookOf } from '../../src/watching/webhook.ts';
import { ROOT } from '../support/cli.ts';
import { type Receiver, startReceiver } from './receiver.ts';

type Verify = (headers: object, body: string, secret: string, now?: number) => boolean;

const NEVER = new AbortController().signal;
const secret = `whsec_${randomBytes(32).toString('base64')}`;
const older = `whsec_${randomBytes(24).toString('base64')}`;
const settings = (url: string, secrets = secret) => ({
  FINDINGS_WEBHOOK_URL: url,
  FINDINGS_WEBHOOK_SECRET: secrets,
});

describe('the webhook', () => {
  let receiver: Receiver;
  let verify: Verify;
  let folder: string;

  before(async () => {
    receiver = await startReceiver();
    folder = await mkdtemp(path.join(tmpdir(), 'authz-test-'));
    const page = await readFile(path.join(ROOT, 'docs', 'key-hygiene.md'), 'utf8');
    const [, example = ''] = /```js\n(.*?)```/s.exec(page) ?? [];
    const file = path.join(folder, 'verify.mjs');
    await writeFile(file, example);
    ({ verify } = (await import(pathToFileURL(file).href)) as { verify: Verify });
  });
  after(async () => {
    await receiver?.close();
    await rm(folder, { recursive: true });
  });

  const webhook = (secrets = secret) => {
    const made = webhookOf(loadConfig(settings(receiver.url, secrets)));
    if (!made) throw new Error('no webhook');
    return made;
  };
  const failureOf = (sending: Promise<void>): Promise<string> =>
    sending.then(
      () => 'delivered',
      (error: Error) => error.message,
    );

  it("signs the specification's own example as that has it", () => {
    const [key] =
      loadConfig(settings(receiver.url, 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw')).FINDINGS_WEBHOOK_SECRET ?? [];
    expect(
      signaturesOf([key as Buffer], 'msg_p5jXN8AQM9LWM0D4loKWxJek', 1_614_265_330, '{"test": 2432232314}'),
    ).to.equal('v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=');
  });

  it('sends what the example of the docs verifies, by each of two secrets, and nothing that was altered', async () => {
    await send(webhook(`${secret},${older}`), 'an-id', '{"ä":1}', NEVER);
    const { headers, body, path: where } = receiver.received.at(-1) ?? { headers: {}, body: '', path: '' };
    expect(where).to.equal('/hook?token=T0PSECRET');
    expect(headers['content-type']).to.equal('application/json');
    expect(headers['webhook-id']).to.equal('an-id');
    for (const one of [secret, older]) expect(verify(headers, body, one), one).to.equal(true);
    const now = Date.now() / 1000;
    expect(verify(headers, `${body} `, secret)).to.equal(false);
    expect(verify({ ...headers, 'webhook-id': 'other' }, body, secret)).to.equal(false);
    expect(verify(headers, body, `whsec_${randomBytes(32).toString('base64')}`)).to.equal(false);
    expect(verify(headers, body, secret, now + 400)).to.equal(false);
    expect(verify({ ...headers, 'webhook-timestamp': String(Math.floor(now) + 1) }, body, secret)).to.equal(false);
  });

  it('takes nothing for an answer but a whole 2xx, follows no redirect, and reads no endless answer', async () => {
    const other = await startReceiver();
    receiver.answers.push(
      (response) => response.writeHead(500).end('no'),
      (response) => response.writeHead(307, { location: other.url }).end(),
      (response) => response.writeHead(200, { 'content-length': 10 }).write('half', () => response.destroy()),
      (response) => response.destroy(),
      (response) =>
        response.socket?.end('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n'),
      (response) => {
        response.writeHead(200);
        const more = (): unknown => response.destroyed || response.write('x'.repeat(65_536), more);
        more();
      },
    );
    const failures = [];
    for (let n = 0; n < 6; n += 1) failures.push(await failureOf(send(webhook(), 'id', '{}', NEVER)));
    expect(failures).to.deep.equal([
      'the receiver answered with the status 500',
      'the receiver answered with the status 307',
      'the answer broke off',
      'the receiver could not be reached, or did not answer in time (ECONNRESET)',
      'the receiver answered with the status 101',
      'delivered',
    ]);
    expect(other.received).to.deep.equal([]);
    await other.close();
    expect(await failureOf(send({ ...webhook(), url: new URL(other.url) }, 'id', '{}', NEVER))).to.match(
      /\(ECONNREFUSED\)$/,
    );
    const ending = new AbortController();
    receiver.answers.push(() => ending.abort());
    expect(await failureOf(send(webhook(), 'id', '{}', ending.signal))).to.not.equal('delivered');
  });

  it('is refused by half, in clear text to another machine, and with a secret that can be guessed; and is shown to nobody', () => {
    const refused = (environment: Record<string, string>): string => {
      try {
        webhookOf(loadConfig(environment));
        return '';
      } catch (error) {
        return (error as Error).message;
      }
    };
    expect(refused({ FINDINGS_WEBHOOK_URL: receiver.url })).to.include('go together');
    expect(refused({ FINDINGS_WEBHOOK_SECRET: secret })).to.include('go together');
    for (const url of ['http://hooks.example/x', 'https://user:pw@hooks.example', 'ftp://localhost', 'hooks.example'])
      expect(refused(settings(url)), url)
        .to.include('FINDINGS_WEBHOOK_URL must be https:')
        .and.not.include('hooks.example');
    for (const bad of ['whsec_', secret.slice(6), 'whsec_c2hvcnQ=', `${secret},${older},${secret}`])
      expect(refused(settings(receiver.url, bad)), bad).to.include('FINDINGS_WEBHOOK_SECRET must be whsec_');
    expect(refused(settings('https://hooks.example/services/T0/B0?x=1'))).to.equal('');
    expect(JSON.stringify(describeConfig(settings(receiver.url)))).to.not.match(/T0PSECRET|whsec_[A-Za-z0-9+/]{8}/);
  });
});
