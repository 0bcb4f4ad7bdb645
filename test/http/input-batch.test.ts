/** The size of a batch, and that one bad question refuses the whole, named by its index. */

import { expect } from 'chai';
import { withService } from '../support/client.ts';
import type { TestService } from '../support/service.ts';
import { countDecisions, expectFailure, issuesOf, nothingIsRecorded } from './wire.ts';

describe('a batch', () => {
  let service: TestService;

  withService((started) => {
    ({ service } = started);
  });

  const item = { action: 'account:read' };
  const batch = (requests: unknown) => service.ask('/authorize/batch', { requests });

  it('is decided for 1 to 100 requests, each recorded', async () => {
    for (const size of [1, 2, 100]) {
      const before = await countDecisions(service);
      const reply = await batch(Array(size).fill(item));
      expect(reply.body).to.include({ Success: true, Code: 'OK' });
      expect(reply.body.Data?.['decisions']).to.have.length(size);
      expect(await countDecisions(service)).to.equal(before + size);
    }
  });

  describe('is refused', () => {
    nothingIsRecorded(() => service);

    const FAULTS: readonly (readonly [string, unknown, string])[] = [
      ['for none', [], 'requests'],
      ['for 101', Array(101).fill(item), 'requests'],
      ['for one that is no list', item, 'requests'],
      ['for a text', 'x', 'requests'],
      ['for null', null, 'requests'],
      ['for nothing', undefined, 'requests'],
      ['for an item that is null', [item, null], 'requests[1]'],
      ['for an item that is a list', [[item]], 'requests[0]'],
      ['for an item that is a batch', [item, { requests: [item] }], 'requests[1].action'],
      ['for one bad item among good ones', [...Array(57).fill(item), { action: 'x' }, item], 'requests[57].action'],
      ['for a bad context', [{ ...item, context: { ip: 'x' } }], 'requests[0].context.ip'],
      ['for two credentials', [item, { ...item, apiKey: 'x', authorization: 'x' }], 'requests[1].apiKey'],
    ];
    for (const [name, requests, path] of FAULTS) {
      it(`${name}, by its place`, async () => {
        const reply = await batch(requests);
        expectFailure(reply, 'INVALID_REQUEST');
        expect(issuesOf(reply).map((issue) => issue.path)).to.include(path);
      });
    }

    it('at the address of one question', async () => {
      const reply = await service.ask('/authorize', { requests: [item] });
      expect(issuesOf(reply).map((issue) => issue.path)).to.have.members(['action', 'requests']);
    });
  });
});
