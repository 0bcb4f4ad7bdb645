/** `authz policy check` as a process: what it prints in each format, and its exit codes. No database is there. */

import { appendFile, cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { z } from 'zod';
import { FINDING_RULES } from '../../../src/policy/folder/findings.ts';
import { POLICY_FOLDER, shippedPolicy } from '../../policy/texts.ts';
import { authz, ROOT } from '../../support/cli.ts';

/** Each is to be laid over `none`. Without it there are further findings, behind those of the trap. */
const TRAPS = path.join(ROOT, 'test', 'policy', 'folder', 'traps');
const text = z.strictObject({ text: z.string().min(1) });

/** Of the SARIF 2.1.0 schema, what we write: nothing else, and each required property of it. */
const sarif = z.strictObject({
  $schema: z.url(),
  version: z.literal('2.1.0'),
  runs: z.tuple([
    z.strictObject({
      tool: z.strictObject({
        driver: z.strictObject({
          name: z.string().min(1),
          semanticVersion: z.string().regex(/^\d+\.\d+\.\d+/),
          rules: z.array(
            z.strictObject({
              id: z.string(),
              shortDescription: text,
              fullDescription: text,
              help: z.strictObject({ text: z.string().min(1), markdown: z.string().min(1) }),
              defaultConfiguration: z.strictObject({ level: z.enum(['none', 'note', 'warning', 'error']) }),
            }),
          ),
        }),
      }),
      columnKind: z.enum(['utf16CodeUnits', 'unicodeCodePoints']),
      results: z.array(
        z.strictObject({
          ruleId: z.string(),
          ruleIndex: z.int().min(0),
          level: z.enum(['none', 'note', 'warning', 'error']),
          message: text,
          locations: z.tuple([
            z.strictObject({
              physicalLocation: z.strictObject({
                artifactLocation: z.strictObject({ uri: z.string().regex(/^[^\s\\]+$/) }),
                region: z.strictObject({ startLine: z.int().min(1), startColumn: z.int().min(1) }),
              }),
            }),
          ]),
        }),
      ),
    }),
  ]),
});

describe('authz policy check', () => {
  it('finds nothing in the shipped policy, which is the default', async () => {
    const { code, stdout } = await authz(['policy', 'check']);
    const { rows, digest } = await shippedPolicy();
    expect(stdout).to.satisfy((text: string) =>
      text.endsWith(`policies: nothing found in ${rows.length} rows; ${digest}\n`),
    );
    expect(code).to.equal(0);
  });

  it('exits with 1 and each finding with its place, sorted', async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'authz-check-'));
    for (const part of ['none', 'empty-policy']) await cp(path.join(TRAPS, part), folder, { recursive: true });
    const { code, stdout } = await authz(['policy', 'check', folder]);
    await rm(folder, { recursive: true });
    expect(stdout).to.match(/^model\.conf:1:1: .*\[no-rows\]\nmodel\.conf:8:1: .*\[model\]\n/);
    expect(code).to.equal(1);
  });

  it('exits with 3 where the folder cannot be read, and with 2 for a format that there is not', async () => {
    expect((await authz(['policy', 'check', '/nowhere'])).code).to.equal(3);
    expect((await authz(['policy', 'check', '--format', 'xml'])).code).to.equal(2);
  });

  it('prints JSON', async () => {
    const { code, stdout } = await authz(['policy', 'check', '--json', path.join(TRAPS, 'absent-fact')]);
    const { digest, findings } = JSON.parse(stdout) as { digest: unknown; findings: unknown[] };
    expect(digest).to.equal(null);
    expect(findings[0]).to.include({ file: '10-rows.csv', line: 1, column: 24, rule: 'unknown-fact' });
    expect(code).to.equal(1);
  });

  it('reports what is no text, no file or no place of ours as findings, in every format, and counts one as one', async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'authz-check-'));
    await cp(POLICY_FOLDER, folder, { recursive: true });
    await appendFile(path.join(folder, '10-api-key.csv'), Buffer.from('# f\xfcr\n', 'latin1'));
    const one = await authz(['policy', 'check', folder]);
    expect(one.stdout)
      .to.match(/^10-api-key\.csv:\d+:4: .*\[not-utf-8\]\n/)
      .and.include(': 1 finding; ');
    await mkdir(path.join(folder, 'archive'));
    await writeFile(
      path.join(folder, '20-limit.csv'),
      'p, limit-exceeded,\u00a0*, "r.limit.exceeded", deny, RATE_LIMITED\n',
    );
    await symlink('/etc/hostname', path.join(folder, 'NOTES.md'));
    const text = await authz(['policy', 'check', folder]);
    expect(text.stdout).to.include('20-limit.csv:1:19: no-break space U+00A0').and.include(': 4 findings; ');
    const { code, stdout } = await authz(['policy', 'check', '--format', 'sarif', folder]);
    const [run] = sarif.parse(JSON.parse(stdout)).runs;
    expect(run.results.map(({ ruleId }) => ruleId)).to.deep.equal([
      'not-utf-8',
      'unseen-character',
      'link-outside',
      'unknown-file',
    ]);
    expect([one.code, text.code, code]).to.deep.equal([1, 1, 1]);
    await rm(folder, { recursive: true });
  });

  it('prints SARIF 2.1.0: every rule with its help, every result with its place', async () => {
    const { code, stdout } = await authz(['policy', 'check', '--format', 'sarif', path.join(TRAPS, 'absent-fact')]);
    const [run] = sarif.parse(JSON.parse(stdout)).runs;
    expect(run.tool.driver.rules.map(({ id }) => id)).to.deep.equal(Object.keys(FINDING_RULES));
    const [result] = run.results;
    expect(result?.ruleId).to.equal('unknown-fact');
    expect(run.tool.driver.rules[result?.ruleIndex ?? -1]?.id).to.equal('unknown-fact');
    expect(result?.locations[0].physicalLocation.artifactLocation.uri).to.match(
      /(^|\/)test\/policy\/folder\/traps\/absent-fact\/10-rows\.csv$/,
    );
    expect(code).to.equal(1);
  });
});
