/** Secrets that lie in files: X_FILE in place of X. What is wrong with a file is said, and nothing of what it holds or how it is called. */

import { execFileSync } from 'node:child_process';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { loadConfig, warningsOn } from '../../src/config.ts';
import { authz } from '../support/cli.ts';

const PEPPER = Buffer.alloc(32, 1).toString('base64');
const URL = 'postgres://u:hidden@h/d';
const PEM = '-----BEGIN PRIVATE KEY-----\nhidden\n-----END PRIVATE KEY-----';

describe('a secret in a file', () => {
  let folder: string;
  let files = 0;

  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'lifecycle-settings-'));
  });
  after(() => rm(folder, { recursive: true }));

  async function file(text: string | Buffer, mode = 0o600): Promise<string> {
    files += 1;
    const name = path.join(folder, `hush-${files}`);
    await writeFile(name, text);
    await chmod(name, mode);
    return name;
  }

  it('is read in place of the variable, without the line ends behind it, for every setting that is secret', async () => {
    const config = loadConfig({
      DATABASE_URL_FILE: await file(`${URL}\n`),
      DATABASE_DIRECT_URL_FILE: await file(`${URL}\r\n\r\n`),
      REDIS_URL_FILE: await file(`\ufeffredis://:hidden@h:6379/1`),
      BOOTSTRAP_TOKEN_FILE: await file(`${'x'.repeat(32)}\n`),
      KEY_PEPPERS_FILE: await file(`a:${PEPPER}\n`),
      AUDIT_SIGNING_KEY_FILE: await file(`${PEM}\n`),
      // Empty counts as unset, and so as no second place.
      KEY_PEPPERS: '',
      REDIS_URL: '',
    });
    expect(config).to.deep.include({
      DATABASE_URL: URL,
      DATABASE_DIRECT_URL: URL,
      REDIS_URL: 'redis://:hidden@h:6379/1',
      BOOTSTRAP_TOKEN: 'x'.repeat(32),
      AUDIT_SIGNING_KEY: PEM,
    });
    expect(config.KEY_PEPPERS?.[0]).to.deep.equal({ id: 'a', secret: Buffer.alloc(32, 1) });
    expect(loadConfig({ DATABASE_URL_FILE: '' }).DATABASE_URL).to.equal(undefined);
    expect(loadConfig({ PORT_FILE: '/nowhere' }).PORT).to.equal(8080);
  });

  it('is shown by its path, and masked', async () => {
    const name = await file(URL);
    const { stdout: shown, code } = await authz(['config'], { DATABASE_URL_FILE: name });
    expect(code).to.equal(0);
    expect(shown)
      .to.match(new RegExp(`^DATABASE_URL +\\*{8} +${name} `, 'm'))
      .and.not.include('hidden');
    const { stdout } = await authz(['config', '--json'], { DATABASE_URL_FILE: name });
    const [setting] = (JSON.parse(stdout) as { name: string }[]).filter((one) => one.name === 'DATABASE_URL');
    expect(setting).to.include({ value: '********', source: 'file', file: name });
    expect(stdout).to.not.include('hidden');
  });

  it('is refused where it cannot be read, or is none, saying which variable to look at', async () => {
    const fifo = path.join(folder, 'hush-fifo');
    execFileSync('mkfifo', [fifo]);
    const faults: [file: string, fault: string][] = [
      [path.join(folder, 'hush-gone'), 'names no file that can be read (ENOENT)'],
      // Set by mistake: the secret itself.
      [URL, 'names no file that can be read (ENOENT)'],
      [folder, 'names no regular file'],
      [fifo, 'names no regular file'],
      ['/dev/zero', 'names no regular file'],
      [await file(''), 'names an empty file'],
      [await file('\n\n'), 'names an empty file'],
      [await file('x'.repeat(65_537)), 'names a file of more than 64 KiB'],
      [await file(Buffer.from([0x70, 0xfc])), 'names a file that is not UTF-8 text'],
      [await file('mysql://u:hidden@h/d'), ": the file's text must be postgres://"],
      [await file(` ${URL}`), ": the file's text holds a character"],
    ];
    for (const [name, fault] of faults) {
      const { code, stderr, stdout } = await authz(['config'], { DATABASE_URL_FILE: name });
      expect(code, name).to.equal(1);
      expect(stderr, name).to.include(`DATABASE_URL_FILE${fault.startsWith(':') ? '' : ' '}${fault}`);
      expect(stdout + stderr, name).to.not.match(/hidden|hush/);
    }
    expect(loadConfig({ AUDIT_SIGNING_KEY_FILE: await file('x'.repeat(65_536)) }).AUDIT_SIGNING_KEY).to.have.length(
      65_536,
    );
  });

  it('is refused beside the variable itself, even where both are the same', async () => {
    const env = { KEY_PEPPERS: `a:${PEPPER}`, KEY_PEPPERS_FILE: await file(`a:${PEPPER}`) };
    const { code, stderr } = await authz(['config'], env);
    expect(code).to.equal(1);
    expect(stderr).to.include('KEY_PEPPERS and KEY_PEPPERS_FILE are both set; unset one of them');
    expect(stderr).to.not.match(/AQEB|hush/);
  });

  it('makes a warning where other accounts may read it, but not where it is mounted from memory', async () => {
    const closed = await file(URL, 0o640);
    // On a disk; the folder of temporary files may be in memory.
    const disk = await mkdtemp('/var/tmp/lifecycle-');
    const open = path.join(disk, 'hush');
    await writeFile(open, URL);
    await chmod(open, 0o644);
    expect(warningsOn({ DATABASE_URL_FILE: closed, REDIS_URL: 'redis://h' })).to.deep.equal([]);
    expect(warningsOn({ AUDIT_SIGNING_KEY: PEM })).to.deep.equal([]);
    expect(warningsOn({ AUDIT_SIGNING_KEY: open })).to.have.length(1);
    const [warning, ...others] = warningsOn({ DATABASE_URL_FILE: open });
    expect(warning)
      .to.include('DATABASE_URL_FILE')
      .and.include('chmod o-r')
      .and.not.match(/hidden|hush/);
    expect(others).to.deep.equal([]);
    const mounted = await mkdtemp('/dev/shm/lifecycle-');
    await writeFile(path.join(mounted, 'url'), URL);
    await chmod(path.join(mounted, 'url'), 0o644);
    expect(warningsOn({ DATABASE_URL_FILE: path.join(mounted, 'url') })).to.deep.equal([]);
    for (const made of [disk, mounted]) await rm(made, { recursive: true });
  });
});
