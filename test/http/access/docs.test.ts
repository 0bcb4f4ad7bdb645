/** docs/authzen.md: its commands as they stand on the page, and its example of names.yaml. */

import { cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { parseFactsFile } from '../../../src/policy/folder/facts-file.ts';
import { parseNamesFile } from '../../../src/policy/folder/names-file.ts';
import { schemaOf } from '../../../src/policy/schema.ts';
import { ROOT } from '../../support/cli.ts';
import { commandsOf, expectInOrder, runGuide } from '../../support/guide.ts';
import { insertCaller, startService, type TestService } from '../../support/service.ts';

describe('docs/authzen.md', () => {
  let service: TestService;
  let folder: string;

  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'authz-authzen-docs-'));
    await cp(path.join(ROOT, 'examples'), path.join(folder, 'examples'), { recursive: true });
    service = await startService({ POLICY_DIR: path.join(ROOT, 'examples/authzen-certification/policies') });
  });
  after(async () => {
    await service?.close();
    await rm(folder, { recursive: true });
  });

  it('has commands that answer as it says', async () => {
    const { address, pepper } = service;
    const { stdout } = await runGuide(await commandsOf('authzen.md', '## Try it'), folder, {
      DATABASE_URL: service.service.config.DATABASE_URL ?? '',
      KEY_PEPPERS: `${pepper.id}:${pepper.secret.toString('base64')}`,
      POLICY_DIR: service.service.config.POLICY_DIR,
      URL: address,
      CALLER: await insertCaller(service, ['authorize', 'evaluate', 'search']),
    });
    expectInOrder(stdout, [
      /^\{"decision":true,"context":\{"code":"OK"/m,
      /^\{"decision":false,"context":\{"code":"PERMISSION_DENIED"/m,
      /^\{"evaluations":\[\{"decision":true,.*\{"decision":false,/m,
      /^\{"page".*"results":\[\{"type":"user","id":"bob"\}\]/m,
      /^\{"page".*"results":\[\{"type":"record","id":"record-1"\},\{"type":"record","id":"record-2"\}\]/m,
      /^\{"page".*"results":\[.*\{"name":"read"\}.*\{"name":"write"\}/m,
    ]);
  });

  it('has a names.yaml without faults', async () => {
    const page = await readFile(path.join(ROOT, 'docs/authzen.md'), 'utf8');
    const [, yaml] = /```yaml\n([\s\S]*?)```/.exec(page) ?? [];
    const findings: unknown[] = [];
    const asked =
      'asked: { subject_role: [admin], resource_status: [active, archived], soft: boolean, risk: [high] }\n';
    const schema = schemaOf(parseFactsFile(asked, (finding) => findings.push(finding)));
    const names = parseNamesFile(yaml, schema, (finding) => findings.push(finding));
    expect(findings).to.deep.equal([]);
    expect([names.resources.size, names.actions.size, names.properties.length]).to.deep.equal([3, 2, 4]);
  });
});
