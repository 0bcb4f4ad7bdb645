/**
 * Lists what the image ships of others, and refuses a licence that deploy/licences.json does not allow: `node deploy/sbom.mjs FOLDER`,
 * or `make sbom`. Writes sbom.cdx.json (CycloneDX, by `npm sbom`) and LICENCES.txt, the texts of the licences. It needs node_modules and npm,
 * and nothing else, since it runs in the image's build, too. The system's libraries and Node are the base image's, and not in it.
 */

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = path.join(import.meta.dirname, '..');
const SPDX_WORDS = /^(?:OR|AND|WITH)$/;

/** @param {...string} names */
const readJson = (...names) => JSON.parse(readFileSync(path.join(ROOT, ...names), 'utf8'));

/**
 * The packages of the lock file that are in the image: those that the service needs, without the optional ones.
 * @typedef {{ readonly at: string, readonly name: string, readonly version: string, readonly licence: string }} Shipped
 * @returns {Shipped[]}
 */
export function shipped(lock = readJson('package-lock.json')) {
  return Object.entries(lock.packages)
    .filter(([at, entry]) => at.startsWith('node_modules/') && !entry.dev && !entry.optional && !entry.link)
    .map(([at, { name, version, license }]) => ({
      at,
      name: name ?? at.slice(at.lastIndexOf('node_modules/') + 'node_modules/'.length),
      version,
      licence: license ?? 'none',
    }));
}

/**
 * The packages whose licence is not allowed. Of an expression (`MIT OR GPL-3.0`) every part must be: nobody chooses here.
 * @param {readonly Shipped[]} packages
 * @param {readonly string[]} allowed
 */
export const forbidden = (packages, allowed = readJson('deploy', 'licences.json').allowed) =>
  packages.filter(({ licence }) =>
    licence
      .split(/[\s()]+/)
      .filter((word) => word !== '' && !SPDX_WORDS.test(word))
      .some((id) => !allowed.includes(id)),
  );

/**
 * The SBOM, by npm, of a project that has these packages and no others: in a checkout `npm sbom --omit dev` leaves out
 * what a workspace has among its devDependencies, whoever else needs it (npm 11.19: 54 packages of 126, without Koa).
 * @param {readonly Shipped[]} packages
 */
function bomOf(packages) {
  const folder = mkdtempSync(path.join(tmpdir(), 'authz-sbom-'));
  try {
    const { devDependencies: _, optionalDependencies: __, workspaces: ___, ...manifest } = readJson('package.json');
    const lock = readJson('package-lock.json');
    const entries = packages.map(({ at }) => [at, lock.packages[at]]);
    const files = {
      'package.json': manifest,
      'package-lock.json': { ...lock, packages: Object.fromEntries([['', manifest], ...entries]) },
    };
    for (const [name, value] of Object.entries(files)) writeFileSync(path.join(folder, name), JSON.stringify(value));
    const options = ['--package-lock-only', '--sbom-format=cyclonedx', '--sbom-type=application'];
    const bom = JSON.parse(execFileSync('npm', ['sbom', ...options], { cwd: folder, encoding: 'utf8' }));
    // npm takes the folder's name for it.
    bom.metadata.component.name = manifest.name;
    return bom;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** @param {Shipped} shipped */
function noticeOf({ at, name, version, licence }) {
  const files = readdirSync(path.join(ROOT, at)).filter((file) => /^(?:licen[cs]e|notice|copying)/i.test(file));
  const texts = files.map((file) => readFileSync(path.join(ROOT, at, file), 'utf8').trim());
  const none = `The package has no file with its licence; its package.json says ${licence}.`;
  return [`${name} ${version} (${licence})`, ...(texts.length > 0 ? texts : [none])].join('\n\n');
}

/** @param {string} folder */
function main(folder) {
  const packages = shipped();
  const refused = forbidden(packages);
  if (refused.length > 0) {
    const list = refused.map(({ name, version, licence }) => `  ${name} ${version}: ${licence}`).join('\n');
    throw new Error(
      `these licences are not allowed; take another package, or have the licence reviewed and add it to deploy/licences.json:\n${list}`,
    );
  }
  const bom = bomOf(packages);
  const listed = new Set(bom.components.map((/** @type {{ purl: string }} */ { purl }) => decodeURIComponent(purl)));
  const missing = packages.filter(({ name, version }) => !listed.has(`pkg:npm/${name}@${version}`));
  if (missing.length > 0)
    throw new Error(`npm sbom has left out ${missing.map(({ name }) => name).join(', ')}; report it`);
  mkdirSync(folder, { recursive: true });
  writeFileSync(path.join(folder, 'sbom.cdx.json'), `${JSON.stringify(bom, undefined, 2)}\n`);
  writeFileSync(path.join(folder, 'LICENCES.txt'), `${packages.map(noticeOf).join(`\n\n${'-'.repeat(72)}\n\n`)}\n`);
  process.stdout.write(`${packages.length} packages in ${folder}/sbom.cdx.json, their licences in LICENCES.txt\n`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    main(process.argv[2] ?? 'dist/notices');
  } catch (error) {
    process.stderr.write(`sbom: ${error instanceof Error ? error.message : error}\n`);
    process.exitCode = 1;
  }
}
