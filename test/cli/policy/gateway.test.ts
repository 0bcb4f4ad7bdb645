/** `authz gateway explain`, and what `authz policy check` and `diff` say about gateway.yaml. */

import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { POLICY_FOLDER } from '../../policy/texts.ts';
import { authz } from '../../support/cli.ts';

const ROUTES = `routes:
  - { methods: [GET], path: "/v1/businesses/{business}/calls/**", action: "call:read", business: { parameter: business } }
  - { methods: [POST], path: /v1/calls, action: "call:create", business: { header: X-Business } }
  - { methods: any, path: /v1/account, action: "account:read" }
`;

describe('authz gateway explain', () => {
  let root: string;
  let folder: string;

  const folderWith = async (name: string, routes: string): Promise<string> => {
    const made = path.join(root, name);
    await cp(POLICY_FOLDER, made, { recursive: true });
    await writeFile(path.join(made, 'gateway.yaml'), routes);
    return made;
  };
  before(async () => {
    root = await mkdtemp(path.join(tmpdir(), 'gateway-cli-'));
    folder = await folderWith('policies', ROUTES);
  });
  after(() => rm(root, { recursive: true }));

  const explain = (...args: string[]) => authz(['gateway', 'explain', ...args], { POLICY_DIR: folder });

  it('says what a request asks for, and by which route', async () => {
    for (const [method, url, says] of [
      [
        'GET',
        'https://api.example.com/v1/businesses/bakery/calls/7?full=1',
        'asks for call:read on the business bakery\n  by line 2 of gateway.yaml: GET,HEAD /v1/businesses/{business}/calls/** -> call:read of {business}\n',
      ],
      [
        'POST',
        '/v1/calls',
        'asks for call:create on the business that the header X-Business names\n  by line 3 of gateway.yaml: POST /v1/calls -> call:create of the header X-Business\n',
      ],
      [
        'DELETE',
        '/v1/account',
        'asks for account:read on no business\n  by line 4 of gateway.yaml: any /v1/account -> account:read\n',
      ],
    ] as const)
      expect(await explain(method, url), url).to.deep.equal({ code: 0, stdout: says, stderr: '' });
  });

  it('says why one is denied, of the URL as it stands, and ends with 1', async () => {
    for (const [method, url, says] of [
      ['DELETE', '/v1/calls', '(unmatched): Nothing may be done here'],
      ['GET', 'https://api.example.com', '(unmatched)'],
      [
        'GET',
        'https://api.example.com/v1/x/../account',
        '(ambiguous): The path can be read in more than one way: it has a segment that is . or ..',
      ],
      ['GET', '/v1/ACCOUNT', '(ambiguous): The path differs from a route in case'],
      ['get', '/v1/account', '(malformed): The method is none'],
      ['GET', 'v1/account', '(malformed): The target is no path'],
      [
        'GET',
        '/v1/businesses/b%20c/calls',
        '(business): What stands in the place of a business is no id of one. Send an id.\n  by line 2',
      ],
    ] as const) {
      const { code, stdout, stderr } = await explain(method, url);
      expect([code, stderr], url).to.deep.equal([1, '']);
      expect(stdout).to.include(`denied without a decision ${says}`);
    }
  });

  it('prints JSON, of another folder too, and refuses one that cannot be read', async () => {
    const other = await folderWith('other', 'routes: [{ methods: any, path: "/**", action: "call:read" }]\n');
    const { code, stdout } = await explain('PUT', '/x', '--policy', other, '--json');
    expect([code, JSON.parse(stdout)]).to.deep.equal([
      0,
      {
        route: { line: 1, requests: 'any /**', means: 'call:read' },
        action: 'call:read',
        businessId: null,
        businessHeader: null,
        reason: null,
        message: null,
      },
    ]);
    const refused = JSON.parse((await explain('PUT', '/x//', '--json')).stdout);
    expect(refused).to.include({ route: null, action: null, reason: 'ambiguous' });
    const bad = await folderWith('bad', 'routes: [{ methods: any, path: "/**", action: calls }]\n');
    const outcome = await explain('PUT', '/x', '--policy', bad);
    expect([outcome.code, outcome.stdout]).to.deep.equal([1, '']);
    expect(outcome.stderr).to.include('gateway.yaml:1:47: "calls" is no action').and.to.include('[gateway]');
    const checked = await authz(['policy', 'check', bad]);
    expect([checked.code, checked.stdout]).to.satisfy(
      ([code, out]: [number, string]) => code === 1 && out.startsWith('gateway.yaml:1:47: "calls" is no action'),
    );
  });

  it('has its edits in authz policy diff', async () => {
    const edited = await folderWith('edited', ROUTES.replace('"account:read"', '"business:read"'));
    const { code, stdout } = await authz(['policy', 'diff', folder, edited]);
    expect(code).to.equal(1);
    expect(stdout).to.include('but gateway.yaml routes otherwise (all');
    expect(stdout).to.include('gateway.yaml any /v1/account\n  - account:read\n  + business:read\n');
    const report = await authz(['policy', 'diff', folder, edited, '--format', 'markdown']);
    expect(report.stdout).to.include(
      '### gateway.yaml: `any /v1/account`\n\n- old: account:read\n- new: business:read',
    );
  });
});
