/**
 * Whatever is sent to the routes of AuthZEN, the answer is a decision, results or a failure in the form of the service, never a defect; and
 * nothing that differs from a question that is allowed in what it names is allowed.
 */

import path from 'node:path';
import { expect } from 'chai';
import fc from 'fast-check';
import { SEED } from '../../policy/texts.ts';
import { importInto } from '../../support/access.ts';
import { ROOT } from '../../support/cli.ts';
import { amount } from '../../support/long.ts';
import { startService, type TestService } from '../../support/service.ts';

const EXAMPLE = path.join(ROOT, 'examples', 'authzen-certification');

/** Values that stand where others belong, among them the right ones. */
const odd = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.constantFrom('user', 'alice', 'record', 'record-1', 'read', 'credential', 'business', 'header'),
  },
  fc.constantFrom<unknown>(
    null,
    true,
    0,
    -1.5,
    '',
    '..',
    '__proto__',
    'constructor',
    'alice\u200b',
    'ALICE',
    ' alice',
    'alice ',
    [],
    {},
  ),
  fc.string({ unit: 'binary', maxLength: 70 }).filter((text) => text.isWellFormed() && !text.includes('\0')),
  fc.jsonValue({ maxDepth: 2 }),
);
const entity = fc.oneof(
  { weight: 4, arbitrary: fc.record({ type: odd, id: odd, name: odd, properties: odd }, { requiredKeys: [] }) },
  odd,
);
const body = fc.record(
  {
    subject: entity,
    action: entity,
    resource: entity,
    context: odd,
    page: odd,
    options: odd,
    evaluations: fc.oneof(odd, fc.array(entity, { maxLength: 3 })),
  },
  { requiredKeys: ['subject', 'action', 'resource'] },
);

describe(`whatever is sent to AuthZEN (seed ${SEED})`, () => {
  let service: TestService;
  before(async () => {
    service = await startService({ POLICY_DIR: path.join(EXAMPLE, 'policies') });
    await importInto(service, path.join(EXAMPLE, 'data.json'));
  });
  after(() => service?.close());

  it('is answered as the standard and the service say', async () => {
    const seen = new Map<string, number>();
    const property = fc.asyncProperty(
      body,
      fc.constantFrom('evaluation', 'evaluations', 'search/subject', 'search/resource', 'search/action'),
      async (sent, endpoint) => {
        const { status, body: got } = await service.ask(`/access/v1/${endpoint}`, sent);
        const said = `${JSON.stringify(sent)} at ${endpoint}: ${status} ${JSON.stringify(got)}`;
        expect(status, said).to.be.oneOf([200, 400]);
        seen.set(`${endpoint} ${status}`, (seen.get(`${endpoint} ${status}`) ?? 0) + 1);
        if (status === 400) expect(got, said).to.include({ Success: false, Code: 'INVALID_REQUEST' });
        else if (endpoint.startsWith('search')) expect(got, said).to.have.property('results').that.is.an('array');
        else {
          const { decision, evaluations } = got as unknown as {
            decision?: boolean;
            evaluations?: { decision: boolean }[];
          };
          for (const one of evaluations ?? [{ decision }]) expect(one.decision, said).to.be.a('boolean');
        }
      },
    );
    await fc.assert(property, { seed: SEED, numRuns: amount(300, 1000, 10_000) });
    expect([...seen.keys()].length).to.be.above(5);
  });

  it('is allowed only where it names what is', async () => {
    const fixture = {
      subject: { type: 'user', id: 'alice' },
      action: { name: 'read' },
      resource: { type: 'record', id: 'record-1' },
    };
    let allowed = 0;
    const property = fc.asyncProperty(
      fc.constantFrom('subject.type', 'subject.id', 'action.name', 'resource.type', 'resource.id'),
      odd,
      async (place, value) => {
        const [member = '', field = ''] = place.split('.');
        const original = (fixture as Record<string, Record<string, string>>)[member]?.[field];
        const sent = { ...fixture, [member]: { ...(fixture as Record<string, object>)[member], [field]: value } };
        const { status, body: got } = await service.ask('/access/v1/evaluation', sent);
        const said = `${place} ${JSON.stringify(value)}: ${status} ${JSON.stringify(got)}`;
        expect(status, said).to.equal(typeof value === 'string' ? 200 : 400);
        const isSame = value === original || (place === 'resource.type' && value === 'business');
        expect((got as { decision?: boolean }).decision === true, said).to.equal(isSame);
        allowed += isSame ? 1 : 0;
      },
    );
    await fc.assert(property, { seed: SEED, numRuns: amount(300, 1000, 10_000) });
    expect(allowed).to.be.above(3);
  });
});
