/** The double for tests of other teams, with the rules of a folder: it decides as a real service of that folder. */

import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import fc from 'fast-check';
import {
  type AuthzError,
  type Client,
  createClient,
  type Decision,
  type Question,
} from '../../packages/client/src/index.ts';
import { createTestClient, type TestClient } from '../../packages/client/src/testing.ts';
import { loadPolicy, type World, type WorldKey } from '../../packages/policy/src/index.ts';
import { ROOT } from '../support/cli.ts';
import { clientOf, type Client as HttpClient } from '../support/client.ts';
import { rejection } from '../support/rejection.ts';
import { startService, type TestService } from '../support/service.ts';
import { credentialOf, type Drawn, drawnQuestion, drawnWorld, store } from './worlds.ts';

const FACTS = `
attributes: { user: { plan: [free, pro] }, key: { can: { grants: [sms, recordings] } }, business: { region: [eu, us] } }
networks: { office: ["203.0.113.0/24"] }
asked: { soft: boolean, state: [active, archived] }
`;
const ROWS = `p, plan, trial:*, "r.user.plan != 'pro' && !r.asked.soft", deny, PERMISSION_DENIED
p, sms, sms:*, "!r.key.can.sms && !r.network.office", deny, PERMISSION_DENIED
p, region, region:*, "r.target.region != 'eu' && r.asked.state != 'active'", deny, PERMISSION_DENIED
`;

const SEED = Number(process.env['FC_SEED'] ?? Math.trunc(Math.random() * 2 ** 31));

describe('the double of the client, with rules', () => {
  let folder: string;
  let service: TestService;
  let http: HttpClient;
  let client: Client;
  let double: TestClient<World>;

  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'contract-policy-'));
    await cp(path.join(ROOT, 'policies'), folder, { recursive: true });
    const facts = path.join(folder, 'facts.yaml');
    await writeFile(facts, (await readFile(facts, 'utf8')) + FACTS);
    await writeFile(path.join(folder, '45-more.csv'), ROWS);
    // One after the other: each checks the policy, and a connection waits for its turn of the event loop only so long.
    const rules = await loadPolicy(folder);
    service = await startService({ POLICY_DIR: folder });
    http = clientOf(service);
    client = createClient({ url: service.address, token: service.token, deadlineMs: 30_000 });
    double = createTestClient<World>({ rules });
    expect(rules.digest).to.equal(service.service.live.policy().digest);
    expect(rules.codes).to.deep.equal([...service.service.live.policy().codes.keys()]);
  });
  after(async () => {
    client?.close();
    await service?.close();
    await rm(folder, { recursive: true });
  });

  it(`decides as the service does: random worlds, and questions in them (FC_SEED=${SEED})`, async () => {
    let run = 0;
    const codes = new Map<string, number>();
    await fc.assert(
      fc.asyncProperty(
        drawnWorld,
        fc.array(drawnQuestion, { minLength: 100, maxLength: 100 }),
        async (drawn, drawnQuestions) => {
          run += 1;
          const name = (id: string) => `w${run}-${id}`;
          const world = await store(service, http, drawn, name);
          const keys = Object.values(world.keys ?? {}).map(({ apiKey = '' }) => apiKey);
          const questions = drawnQuestions.map(
            ({ key, form, business, ...rest }): Question => ({
              ...rest,
              ...credentialOf(keys[key % (keys.length + 1)] ?? 'unknown', form),
              ...(business !== undefined && { businessId: business === null ? null : name(business) }),
            }),
          );
          double.setWorld(world);
          const [real, doubled] = await Promise.all([client.authorizeAll(questions), double.authorizeAll(questions)]);
          for (const [at, one] of real.entries()) {
            expect(plainly(doubled[at]), JSON.stringify(questions[at])).to.deep.equal(plainly(one));
            codes.set(one.Code, (codes.get(one.Code) ?? 0) + 1);
          }
        },
      ),
      { numRuns: 4, seed: SEED, endOnFailure: true },
    );
    expect([...codes.keys()]).to.include.members(['OK', 'INVALID_API_KEY', 'PERMISSION_DENIED']);
  });

  it('evaluates as the service does where a key is shown, and denies the rest', async () => {
    const name = (id: string) => `evaluated-${id}`;
    const [drawn] = fc.sample(drawnWorld, { numRuns: 1, seed: SEED });
    const world = await store(service, http, drawn as Drawn, name);
    double.setWorld(world);
    const evaluated = async (asked: Pick<Client, 'evaluate'>, key: string, action: string, type: string) => {
      const evaluation = {
        subject: { type: 'credential', id: 'header' },
        action: { name: action },
        resource: { type, id: name('bakery') },
      };
      const { decision, context } = await asked.evaluate(evaluation, { subjectAuthorization: `Token ${key}` });
      const { decisionId, rateLimit, retryAfterSeconds, ...rest } = context;
      return { decision, ...rest };
    };
    for (const { apiKey = '' } of Object.values(world.keys ?? {}))
      for (const action of ['call:create', 'user:read'])
        expect(await evaluated(double, apiKey, action, 'business')).to.deep.equal(
          await evaluated(client, apiKey, action, 'business'),
        );
    const [{ apiKey = '' }] = Object.values(world.keys ?? {}) as [WorldKey];
    expect((await evaluated(double, apiKey, 'call:create', 'record')).decision).to.equal(false);
  });

  it('goes by the times of the world, and takes none that cannot be read', async () => {
    const at = '2026-01-31T12:00:00Z';
    const freeze = { businessId: 'bakery', reason: 'It is looked into.' };
    const outcome = async (expiresAt: string | null, until: string, now = at): Promise<string> => {
      double.setWorld({
        users: { ada: {} },
        businesses: { bakery: { members: { ada: 'owner' } } },
        keys: { 'ada-main': { userId: 'ada', expiresAt } },
        freezes: [{ ...freeze, until }],
        at: now,
      });
      const question = { apiKey: 'ada-main', action: 'call:create', businessId: 'bakery' };
      return double.authorize(question).then(
        ({ Code }) => Code,
        ({ name }) => name,
      );
    };
    expect(await outcome(null, at)).to.equal('OK');
    expect(await outcome('2026-01-31T12:00:01Z', at)).to.equal('OK');
    expect(await outcome(at, at)).to.equal('INVALID_API_KEY');
    expect(await outcome(null, '2026-01-31T12:00:01Z')).to.equal('FROZEN');
    for (const none of ['tomorrow', '']) {
      expect(await outcome(none, at), none).to.equal('Unavailable');
      expect(await outcome(null, none), none).to.equal('Unavailable');
      expect(await outcome(null, at, none), none).to.equal('Unavailable');
    }
  });

  it('refuses the questions that the service refuses, with the same paths', async () => {
    double.setWorld({});
    const question = { authorization: 'Token x', action: 'call:create', businessId: 'b' };
    const bad: readonly Question[] = [
      { ...question, apiKey: 'x' },
      { ...question, action: 'Call' },
      { ...question, businessId: '..' },
      { ...question, businessId: '' },
      { ...question, context: { attributes: { soft: 'yes' } } },
      { ...question, context: { attributes: { state: 'gone', hard: true } } },
    ];
    for (const one of bad) {
      const [real, doubled] = await Promise.all(
        [client, double].map(async (asked) => (await rejection(asked.authorize(one))) as AuthzError),
      );
      const seen = (error: AuthzError | undefined) => [error?.name, error?.code, error?.issues.map(({ path }) => path)];
      expect(seen(doubled), JSON.stringify(one)).to.deep.equal(seen(real));
      const batch = (await rejection(double.authorizeAll([question, one]))) as AuthzError;
      expect(batch.issues.map(({ path }) => path)).to.deep.equal(real?.issues.map(({ path }) => `requests[1].${path}`));
    }
  });
});

/** Without what differs from one answer to the next; whether there is a rate limit, and not how it stands. */
function plainly(decision: Decision | undefined): unknown {
  if (!decision) return undefined;
  const { requestId, Data, ...rest } = decision;
  const { decisionId, rateLimit, retryAfterSeconds, ...data } = Data;
  return { ...rest, Data: { ...data, isLimited: [rateLimit, retryAfterSeconds].map((one) => one !== undefined) } };
}
