/**
 * The package of the policy as its users get it: packed, checked by publint and attw, beside the packages that it names and no others; then
 * what its README shows is run. Packs the build: `make build` first.
 */

import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { publint } from 'publint';
import { ROOT } from '../support/cli.ts';

const execute = promisify(execFile);
const PACKAGE = path.join(ROOT, 'packages', 'policy');

describe('the package of the policy', () => {
  let folder: string;
  let tarball: string;
  let names: readonly string[];
  const modules = (...parts: string[]) => path.join(folder, 'node_modules', ...parts);

  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'authz-policy-package-'));
    const pack = ['pack', PACKAGE, '--json', '--ignore-scripts', '--pack-destination', folder];
    const [packed] = JSON.parse((await execute('npm', pack, { cwd: ROOT })).stdout) as {
      filename: string;
      files: { path: string }[];
    }[];
    tarball = path.join(folder, packed?.filename ?? '');
    names = packed?.files.map((file) => file.path) ?? [];
    await mkdir(modules('@iqra', 'authz-policy'), { recursive: true });
    await execute('tar', ['-xzf', tarball, '--strip-components=1', '-C', modules('@iqra', 'authz-policy')]);
    // From here and not from a registry, which a test must not need: each that package.json names, and so none that it forgets.
    const { dependencies } = JSON.parse(await readFile(path.join(PACKAGE, 'package.json'), 'utf8'));
    for (const name of Object.keys(dependencies)) {
      await mkdir(path.dirname(modules(name)), { recursive: true });
      await symlink(path.join(ROOT, 'node_modules', name), modules(name));
    }
    await symlink(path.join(ROOT, 'packages', 'client'), modules('@iqra', 'authz'));
    await cp(path.join(ROOT, 'policies'), path.join(folder, 'policies'), { recursive: true });
    await writeFile(path.join(folder, 'package.json'), '{"name": "user", "private": true, "type": "module"}');
  });
  after(() => rm(folder, { recursive: true, force: true }));

  it('is clean by publint and attw', async () => {
    const { messages } = await publint({
      pack: { tarball: new Uint8Array(await readFile(tarball)).buffer },
      strict: true,
    });
    expect(messages).to.deep.equal([]);
    const attw = path.join(ROOT, 'node_modules', '.bin', 'attw');
    const { stdout } = await execute(attw, [tarball, '--profile', 'esm-only', '--format', 'json']);
    const { analysis } = JSON.parse(stdout) as { analysis: { problems: { resolutionKind: string }[] } };
    const problems = analysis.problems.filter(
      ({ resolutionKind }) => !['node10', 'node16-cjs'].includes(resolutionKind),
    );
    expect(problems).to.deep.equal([]);
  });

  it('is the policy and nothing else of the service', () => {
    const others = names.filter((name) => !/^dist\/src\/policy\/|^dist\/packages\/policy\//.test(name));
    const singles = ['errors', 'mask', 'nearest', 'token-form'];
    expect(others.sort()).to.deep.equal(
      [
        'LICENSE',
        'README.md',
        'package.json',
        ...singles.flatMap((name) => [`dist/src/${name}.d.ts`, `dist/src/${name}.js`]),
      ].sort(),
    );
  });

  it('has the libraries of the service, in its versions', async () => {
    const [own, root] = await Promise.all(
      [PACKAGE, ROOT].map(async (place) => JSON.parse(await readFile(path.join(place, 'package.json'), 'utf8'))),
    );
    expect(root.dependencies).to.include(own.dependencies);
  });

  it('does what its README shows', async () => {
    const readme = await readFile(path.join(PACKAGE, 'README.md'), 'utf8');
    const blocks = [...readme.matchAll(/```js\n([\s\S]*?)```/g)].map(([, block = '']) => block);
    for (const [at, block] of blocks.entries()) await writeFile(path.join(folder, `block-${at}.mjs`), block);
    await writeFile(
      path.join(folder, 'blocks.mjs'),
      `for (let at = 0; at < ${blocks.length}; at += 1) await import(\`./block-\${at}.mjs\`);`,
    );
    const { stdout } = await execute(process.execPath, ['blocks.mjs'], { cwd: folder });
    expect(stdout.trim().split('\n')).to.deep.equal([
      'ada-main OK allow-on-target',
      'bob-main USER_DISABLED user-disabled',
      'made-up INVALID_API_KEY key-not-active',
      'OK',
      'BUSINESS_DISABLED',
      'Unavailable',
    ]);
  });

  it('refuses a folder that may not go live, with every finding', async () => {
    await writeFile(path.join(folder, 'policies', '45-more.csv'), 'p, more, *, "r.user.stat == 1", deny, NO_CODE\n');
    const script = `
      import { loadPolicy } from '@iqra/authz-policy';
      await loadPolicy('policies').catch(({ name, findings }) => console.log(name, findings.map(({ rule }) => rule).join()));`;
    await writeFile(path.join(folder, 'refused.mjs'), script);
    const { stdout } = await execute(process.execPath, ['refused.mjs'], { cwd: folder });
    expect(stdout).to.match(/^PolicyRefused .*unknown-fact.*unknown-code/);
  });
});
