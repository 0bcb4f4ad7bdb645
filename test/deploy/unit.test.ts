/** deploy/iqra-authz@.service: systemd understands it, it exposes little, and its settings are ones that there are. */

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { describeConfig, loadConfig } from '../../src/config.ts';
import { ROOT } from '../support/cli.ts';

const NAME = 'iqra-authz@.service';
const unit = readFileSync(path.join(ROOT, 'deploy', NAME), 'utf8');

/** The values of a directive, in their order. */
const valuesOf = (directive: string): string[] =>
  [...unit.matchAll(new RegExp(`^${directive}=(.*)$`, 'gm'))].map(([, value = '']) => value);

const secondsOf = (directive: string): number => Number(valuesOf(directive)[0]);

describe(`deploy/${NAME}`, () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'authz-unit-'));
    for (const name of ['credentials', 'state', 'policies']) mkdirSync(path.join(folder, name));
  });
  after(() => rmSync(folder, { recursive: true }));

  /** As systemd makes it for an instance, with folders of this test in place of the system's. */
  const environmentOf = (instance: string): Record<string, string> =>
    Object.fromEntries(
      valuesOf('Environment')
        .flatMap((value) => value.split(' '))
        .map((word) =>
          word
            .replaceAll('%i', instance)
            .replaceAll('%d', path.join(folder, 'credentials'))
            .replaceAll('%S', path.join(folder, 'state')),
        )
        .map((word) => word.split('=', 2) as [string, string]),
    );

  it('has settings that there are, and credentials for those that are secret', () => {
    const names = describeConfig({}).map(({ name }) => name);
    for (const name of Object.keys(environmentOf('1')).filter((name) => name !== 'NODE_ENV'))
      expect(names).to.include(name.replace(/_FILE$/, ''));
    const credentials = valuesOf('LoadCredential').map((value) => value.split(':')[0] ?? '');
    const files = Object.entries(environmentOf('1')).filter(([name]) => name.endsWith('_FILE'));
    expect(files.map(([, file]) => path.basename(file))).to.have.members(credentials);
    const [url, peppers] = ['postgres://authz@db/authz', `p1:${Buffer.alloc(32, 1).toString('base64')}`];
    const texts: Record<string, string> = { 'database-url': url, 'key-peppers': peppers };
    for (const name of credentials) writeFileSync(path.join(folder, 'credentials', name), texts[name] ?? 'x');
    const [one, two] = ['1', '2'].map((instance) => loadConfig(environmentOf(instance)));
    expect(one).to.include({ PORT: 8081, ADMIN_PORT: 9091, DATABASE_URL: url });
    expect(two).to.include({ PORT: 8082, ADMIN_PORT: 9092 });
    expect(one?.AUDIT_CHECKPOINTS).to.not.equal(two?.AUDIT_CHECKPOINTS);
    expect(one?.AUDIT_CHECKPOINTS).to.include(`/${valuesOf('StateDirectory')[0]?.replace('%i', '1')}/`);
  });

  it('leaves time for a stop, and ends its start when the instance is ready', () => {
    const { DRAIN_DELAY_MS, SHUTDOWN_LIMIT_MS } = environmentOf('1');
    const needed = (Number(DRAIN_DELAY_MS) + Number(SHUTDOWN_LIMIT_MS)) / 1000;
    expect(secondsOf('TimeoutStopSec')).to.be.at.least(needed + 10);
    const [serve = ''] = valuesOf('ExecStart');
    expect(valuesOf('ExecStartPost')[0]).to.include(serve.replace(/serve$/, 'health --ready'));
  });

  const systemd = spawnSync('systemd-analyze', ['--version']).status === 0;
  (systemd ? describe : describe.skip)(`and systemd${systemd ? '' : ' (SKIPPED: there is no systemd-analyze)'}`, () => {
    /** What systemd-analyze writes to its standard error: its exit code does not tell. */
    const verify = (text: string): string => {
      const file = path.join(folder, NAME);
      // This machine's Node, since a program that there is not is a fault.
      writeFileSync(file, text.replaceAll('/usr/bin/node', process.execPath));
      return spawnSync('systemd-analyze', ['verify', file], { encoding: 'utf8' }).stderr;
    };

    it('takes each line of it', () => {
      expect(verify(unit)).to.equal('');
      expect(verify(unit.replace('ProtectHome=', 'ProtectHomes='))).to.include('ProtectHomes');
    });

    it('finds little exposed', () => {
      expect(verify(unit)).to.equal('');
      const security = ['security', '--offline=true', '--no-pager', '--threshold=10', path.join(folder, NAME)];
      const report = execFileSync('systemd-analyze', security, { encoding: 'utf8' });
      expect(report).to.match(/Overall exposure level .*: 0\.\d SAFE/);
    });
  });
});
