/** A policy out of a ConfigMap is followed as it is updated: in one step, cases too; and one that is bad never goes live. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { readPolicyFolder } from '../../src/rollout/folder.ts';
import { ROOT } from '../support/cli.ts';
import { eventually } from '../support/embedded.ts';
import { startService } from '../support/service.ts';
import { mount } from './kubelet.ts';

const BAD = 'bad.yaml';

describe('the policy of a ConfigMap', () => {
  it('goes live when the ConfigMap is updated, and stays when an update is bad', async () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'authz-configmap-'));
    const files = new Map(await readPolicyFolder(path.join(ROOT, 'policies')));
    mount(folder, files);
    const service = await startService({ POLICY_DIR: folder, POLICY_POLL_MS: '20', POLICY_SETTLE_MS: '20' });
    try {
      const state = () => service.service.live.state();
      const first = state().policy.digest;

      files.set('80-closing.csv', 'p, closing-refused, account:close, "true", deny, PERMISSION_DENIED\n');
      mount(folder, files);
      await eventually(() => (state().policy.digest !== first ? true : undefined));
      const second = state().policy.digest;

      // Refused by a case alone, which stands in a folder that is a link of its own.
      files.set(`cases/${BAD}`, 'base: {}\ncases: nonsense\n');
      mount(folder, files);
      await eventually(() => (state().refused !== undefined ? true : undefined));
      expect(state().policy.digest).to.equal(second);

      files.delete(`cases/${BAD}`);
      files.delete('80-closing.csv');
      mount(folder, files);
      await eventually(() => (state().policy.digest === first && state().refused === undefined ? true : undefined));
    } finally {
      await service.close();
      rmSync(folder, { recursive: true });
    }
  });
});
