/** Keys, freezes and AuthZEN through the client, beside a real service; and its types beside the shapes that the OpenAPI document is made of. */

import path from 'node:path';
import { expect } from 'chai';
import type { z } from 'zod';
import {
  type ApiKey,
  BadQuestion,
  type Client,
  createClient,
  type Decision,
  type DecisionData,
  type DenialCode,
  type Freeze,
  type FreezeWanted,
  type KeyChanges,
  type KeyWanted,
  type Question,
} from '../../packages/client/src/index.ts';
import type { freezeBody } from '../../src/freezes/body.ts';
import type { authorizeSchema } from '../../src/http/routes/authorize-schema.ts';
import type { decisionReplyShape } from '../../src/http/routes/authorize-shapes.ts';
import type { freezeData } from '../../src/http/routes/freezes-shapes.ts';
import type { keyData } from '../../src/http/routes/keys-shapes.ts';
import type { keyBody, keyChanges } from '../../src/input/resources.ts';
import { loadPolicy } from '../../src/rollout/folder.ts';
import { ROOT } from '../support/cli.ts';
import { withService } from '../support/client.ts';
import { rejection } from '../support/rejection.ts';
import type { TestService } from '../support/service.ts';

/** true where all of `A` can stand for `B`; the compiler refuses anything else. */
type Fits<A, B> = [A] extends [B] ? true : never;
/** true where two objects have the same fields. */
type SameFields<A, B> = Fits<keyof A, keyof B> & Fits<keyof B, keyof A>;

type Reply = z.output<typeof decisionReplyShape>;

/** What the service answers fits our types, field by field, and what our types let be asked fits its schemas. */
const HELD: readonly true[] = [
  true satisfies Fits<Reply['Data'], DecisionData>,
  true satisfies SameFields<Reply['Data'], DecisionData>,
  true satisfies Fits<Reply, Pick<Decision<string>, 'Success' | 'Code' | 'Message' | 'Data'>>,
  true satisfies Fits<Decision['Code'], Reply['Code']>,
  true satisfies Fits<z.output<typeof keyData>, ApiKey>,
  true satisfies SameFields<z.output<typeof keyData>, ApiKey>,
  true satisfies Fits<z.output<typeof freezeData>, Freeze>,
  true satisfies SameFields<z.output<typeof freezeData>, Freeze>,
  true satisfies SameFields<z.input<typeof authorizeSchema>, Question>,
  true satisfies SameFields<NonNullable<z.input<typeof authorizeSchema>['context']>, NonNullable<Question['context']>>,
  true satisfies SameFields<z.input<typeof keyBody>, KeyWanted>,
  true satisfies SameFields<z.input<typeof keyChanges>, KeyChanges>,
  true satisfies SameFields<z.input<typeof freezeBody>, FreezeWanted>,
];

/** Of the type, every one: the compiler refuses more and fewer. */
const DENIALS: Readonly<Record<DenialCode, true>> = {
  INVALID_API_KEY: true,
  USER_DISABLED: true,
  RATE_LIMITED: true,
  PERMISSION_DENIED: true,
  FROZEN: true,
  BUSINESS_DISABLED: true,
};

describe('the client and resources', () => {
  let service: TestService;
  let client: Client;

  withService(async (started) => {
    ({ service } = started);
    await started.client.newUser('ann', '42', '7');
    client = createClient({ url: `${service.address}/`, token: service.token, deadlineMs: 30_000 });
  });
  const may = async (apiKey: string, businessId = '42'): Promise<string> =>
    (await client.authorize({ apiKey, action: 'call:create', businessId })).Code;

  it('has the types of the service, and the codes of the shipped policy', async () => {
    expect(HELD.every(Boolean)).to.equal(true);
    const { codes } = await loadPolicy(path.join(ROOT, 'policies'));
    expect([...codes.keys()]).to.have.members(['OK', ...Object.keys(DENIALS)]);
  });

  it('walks a key through its life', async () => {
    const wanted = { userId: 'ann', friendlyName: 'Try-out', allowUserManagementApiRequests: false };
    const made = await client.keys.create(wanted);
    expect(await may(made.apiKey)).to.equal('OK');
    const { id } = made.key;
    expect(await client.keys.get(id)).to.deep.include({ etag: made.etag });

    const changed = await client.keys.update(id, { restrictedBusinessIds: ['7'] }, { ifMatch: made.etag });
    expect(changed.key.restrictedBusinessIds).to.deep.equal(['7']);
    expect(await may(made.apiKey)).to.equal('PERMISSION_DENIED');
    const stale = (await rejection(
      client.keys.update(id, { friendlyName: 'x' }, { ifMatch: made.etag }),
    )) as BadQuestion;
    expect([stale.constructor, stale.code]).to.deep.equal([BadQuestion, 'PRECONDITION_FAILED']);

    const rotated = await client.keys.rotate(id, { overlapSeconds: 0 });
    expect([await may(made.apiKey, '7'), await may(rotated.apiKey, '7')]).to.deep.equal(['INVALID_API_KEY', 'OK']);
    const revoked = await client.keys.revoke(rotated.key.id, { reason: 'Posted in a public channel.' });
    expect(revoked.key).to.include({ status: 'revoked', revokedReason: 'Posted in a public channel.' });
    expect(await may(rotated.apiKey, '7')).to.equal('INVALID_API_KEY');

    const first = await client.keys.list({ userId: 'ann', limit: 1 });
    const second = await client.keys.list({ userId: 'ann', limit: 1, cursor: first.nextCursor ?? '' });
    expect([...first.items, ...second.items].map((key) => key.id)).to.have.members([id, rotated.key.id]);
    await client.keys.delete(id);
    const gone = (await rejection(client.keys.get(id))) as BadQuestion;
    expect([gone.constructor, gone.code]).to.deep.equal([BadQuestion, 'NOT_FOUND']);
  });

  it('freezes, extends and lifts', async () => {
    const { apiKey } = await client.keys.create({
      userId: 'ann',
      friendlyName: 'Cold',
      allowUserManagementApiRequests: false,
    });
    const freeze = await client.freezes.create({ action: 'call:*', reason: 'A trial.', forSeconds: 600 });
    expect(await may(apiKey)).to.equal('FROZEN');
    const later = await client.freezes.extend(freeze.id, { forSeconds: 7200 });
    expect(later.until > freeze.until).to.equal(true);
    expect((await client.freezes.list({ inForce: true })).items.map(({ id }) => id)).to.deep.equal([freeze.id]);
    await client.freezes.lift(freeze.id);
    expect((await client.freezes.get(freeze.id)).status).to.equal('lifted');
    expect(await may(apiKey)).to.equal('OK');
  });

  it('asks in the words of AuthZEN', async () => {
    const { apiKey, key } = await client.keys.create({
      userId: 'ann',
      friendlyName: 'Zen',
      allowUserManagementApiRequests: false,
    });
    const evaluation = {
      subject: { type: 'credential', id: 'header' },
      action: { name: 'call:create' },
      resource: { type: 'business', id: '42' },
    };
    const shown = { subjectAuthorization: `Token ${apiKey}` };
    expect((await client.evaluate(evaluation, shown)).decision).to.equal(true);
    expect((await client.evaluate({ ...evaluation, subject: { type: 'api_key', id: key.id } })).decision).to.equal(
      true,
    );
    const denied = await client.evaluate({ ...evaluation, resource: { type: 'business', id: 'nowhere' } }, shown);
    expect([denied.decision, denied.context['code']]).to.deep.equal([false, 'PERMISSION_DENIED']);
    expect((await client.evaluate(evaluation)).context['code']).to.equal('INVALID_API_KEY');
    const wrong = { ...evaluation, context: { ip: 'nowhere' } };
    expect(await rejection(client.evaluate(wrong, shown))).to.be.instanceOf(BadQuestion);
    expect(await rejection(client.evaluate(evaluation, { subjectAuthorization: 'a\nb' }))).to.be.instanceOf(
      BadQuestion,
    );
  });
});
