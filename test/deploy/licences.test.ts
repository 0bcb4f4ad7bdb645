/** What is shipped of others: by licences that are allowed, and all of it is in the SBOM that `make sbom` writes. */

import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { forbidden, type Shipped, shipped } from '../../deploy/sbom.mjs';
import { ROOT } from '../support/cli.ts';

const execute = promisify(execFile);

interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>;
}
const manifestOf = async (folder: string): Promise<Manifest> =>
  JSON.parse(await readFile(path.join(ROOT, folder, 'package.json'), 'utf8'));

describe('what is shipped of others', () => {
  const of = (licence: string): Shipped => ({ at: 'node_modules/x', name: 'x', version: '1.0.0', licence });

  it('is under a licence that is allowed', () => {
    expect(forbidden(shipped()).map(({ name, licence }) => `${name}: ${licence}`)).to.deep.equal([]);
  });

  it('would not be under another one, under none, or under one of two', () => {
    const licences = ['GPL-3.0-only', 'none', 'SEE LICENSE IN x', 'MIT AND GPL-3.0-only', '(MIT OR GPL-3.0-only)'];
    expect(forbidden(licences.map(of)).map(({ licence }) => licence)).to.deep.equal(licences);
    expect(forbidden(['MIT', '(MIT OR Apache-2.0)', 'Apache-2.0 AND BSD-3-Clause'].map(of))).to.deep.equal([]);
  });

  it('is what the service needs to run, found here without the lock file, and what the libraries of packages/ need', async () => {
    const listed = new Set(shipped().map(({ at }) => at));
    /** As Node looks for a package: beside who asks, then further up. */
    const resolve = (name: string, from: string): string => {
      const at = path.posix.join(from, 'node_modules', name);
      if (from === '' || existsSync(path.join(ROOT, at))) return at;
      return resolve(name, from.slice(0, Math.max(0, from.lastIndexOf('node_modules/') - 1)));
    };
    const found = new Set<string>();
    const visit = async (folder: string): Promise<void> => {
      for (const name of Object.keys((await manifestOf(folder)).dependencies ?? {})) {
        const at = resolve(name, folder);
        if (found.has(at)) continue;
        found.add(at);
        await visit(at);
      }
    };
    await visit('');
    expect([...found].sort()).to.deep.equal([...listed].sort());
    for (const folder of ['packages/client', 'packages/policy'])
      for (const name of Object.keys((await manifestOf(folder)).dependencies ?? {}))
        expect(listed, folder).to.include(`node_modules/${name}`);
  });

  it('is what the SBOM lists, with the texts of the licences', async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'authz-sbom-test-'));
    try {
      await execute(process.execPath, [path.join(ROOT, 'deploy', 'sbom.mjs'), folder]);
      const bom = JSON.parse(await readFile(path.join(folder, 'sbom.cdx.json'), 'utf8'));
      expect(bom).to.include({ bomFormat: 'CycloneDX' });
      const purls: string[] = bom.components.map(({ purl }: { purl: string }) => decodeURIComponent(purl));
      expect(purls).to.have.members(shipped().map(({ name, version }) => `pkg:npm/${name}@${version}`));
      const texts = await readFile(path.join(folder, 'LICENCES.txt'), 'utf8');
      for (const { name, version } of shipped()) expect(texts).to.include(`${name} ${version} (`);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
