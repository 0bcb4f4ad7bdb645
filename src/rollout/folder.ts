/** Reads a policy folder into texts, and builds a policy of it or refuses it with every finding. */

import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { open, readdir, realpath, stat } from 'node:fs/promises';
import path from 'node:path';
import { Refusal } from '../errors.ts';
import type { Policy } from '../policy/decide.ts';
import { LIMITS, NETWORK_FILE, type PolicyTexts, sizesOf, unreadFolder, unreadLink } from '../policy/folder/files.ts';
import { type Finding, printFinding } from '../policy/folder/findings.ts';
import { buildPolicy, compilePolicy } from '../policy/policy.ts';
import type { KnownFiles } from './known-files.ts';

/** The policy of a folder. @throws Refusal that names every finding with file, line, column and reason. */
export const loadPolicy = async (folder: string): Promise<Policy> =>
  admitPolicy(folder, await readPolicyFolder(folder));

/**
 * The policy that passed the check last, while anything still uses it. A check takes a tenth of a second and more, and its result
 * depends on the texts alone, so those of a shadow folder that is a copy of the live one are not checked a second time.
 */
let passed: { readonly hash: string; readonly policy: WeakRef<Policy> } | undefined;

/** Builds and checks the policy of a folder's texts. @throws Refusal that names every finding with file, line, column and reason. */
export async function admitPolicy(folder: string, texts: PolicyTexts): Promise<Policy> {
  const hash = hashOf(texts);
  const known = passed?.hash === hash ? passed.policy.deref() : undefined;
  if (known) return known;
  const { policy, findings } = await buildPolicy(texts);
  if (policy) {
    passed = { hash, policy: new WeakRef(policy) };
    return policy;
  }
  throw refusal(`the policy in ${folder} is refused; correct it, or set POLICY_DIR to another folder`, findings);
}

/** Of all names and texts, the cases and invariants too, of which no decision depends and the check does. */
function hashOf(texts: PolicyTexts): string {
  const hash = createHash('sha256');
  for (const [name, text] of texts) hash.update(`${name}\0${text.length}\0`).update(text);
  return hash.digest('hex');
}

/** The policy of a folder, compiled but not checked, for tools that look at it. @throws Refusal when it does not compile */
export async function compileFolder(folder: string): Promise<Policy> {
  const { policy, findings } = compilePolicy(await readPolicyFolder(folder));
  if (policy) return policy;
  throw refusal(`the policy in ${folder} cannot be read`, findings);
}

const refusal = (what: string, findings: readonly Finding[]): Refusal =>
  new Refusal([`${what}:`, ...findings.map((finding) => `  ${printFinding(finding)}`)].join('\n'));

/**
 * The texts of the folder's files and of those in `cases`, without dot files (editors' swap files, Kubernetes' `..data`). Links
 * are followed where they lead to a file inside the folder. Whatever else is there is listed as what it is (see PolicyTexts), so
 * that the check reports it beside all other findings. Network files that are known, and have not changed, are not read.
 * @throws Refusal when the folder, or a file in it, cannot be read
 */
export async function readPolicyFolder(folder: string, known?: KnownFiles): Promise<PolicyTexts> {
  const texts = new Map<string, string>();
  const root = await realpath(folder).catch((cause) => unreadable(folder, cause));
  for (const name of await namesIn(root)) {
    const [listed, text] = await readEntry(root, name, known);
    texts.set(listed, text);
    // Beyond the limits, stop reading: the check reports them.
    const { folder: others, networks } = sizesOf(texts);
    if (others > LIMITS.folder || networks > LIMITS.networks || texts.size > LIMITS.files) break;
  }
  return texts;
}

const CASES = 'cases';

/** Relative to the folder. Those of `cases` stand in place of it, unless that is a link that leads outside, or no folder. */
async function namesIn(root: string): Promise<string[]> {
  const names = await list(root);
  const cases = names.includes(CASES) ? await realInside(root, CASES) : undefined;
  if (cases === undefined || !(await stat(cases)).isDirectory()) return names;
  const inCases = (await list(cases)).map((name) => `${CASES}/${name}`);
  return [...names.filter((name) => name !== CASES), ...inCases];
}

async function list(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch((cause) => unreadable(folder, cause));
  return names.filter((name) => !name.startsWith('.')).sort();
}

/** The name that an entry is listed under, and its text. */
async function readEntry(root: string, name: string, known?: KnownFiles): Promise<[listed: string, text: string]> {
  const real = await realInside(root, name);
  if (real === undefined) return [unreadLink(name), ''];
  const text = await readText(real, name, known).catch((cause) => unreadable(path.join(root, name), cause));
  return text === undefined ? [unreadFolder(name), ''] : [name, text];
}

/** The real path of an entry, links resolved; undefined where that lies outside of `root`, or nowhere. */
async function realInside(root: string, name: string): Promise<string | undefined> {
  try {
    const real = await realpath(path.join(root, name));
    const [first] = path.relative(root, real).split(path.sep);
    return first === '..' ? undefined : real;
  } catch (cause) {
    if (NOWHERE.has((cause as NodeJS.ErrnoException).code)) return undefined;
    return unreadable(path.join(root, name), cause);
  }
}

const NOWHERE: ReadonlySet<string | undefined> = new Set(['ENOENT', 'ELOOP', 'ENOTDIR']);

/** A bound of `LIMITS` counts UTF-16 units, and each takes at most 3 bytes in UTF-8. */
const BYTES_OF_A_UNIT = 3;

/** The text of a regular file by its real path. Undefined: it is none; a pipe or a device might never end. */
async function readText(file: string, name: string, known?: KnownFiles): Promise<string | undefined> {
  const isNetwork = NETWORK_FILE.test(name);
  const most = BYTES_OF_A_UNIT * (isNetwork ? LIMITS.network : LIMITS.file);
  if (!(await stat(file)).isFile()) return undefined;
  // O_NOFOLLOW: it has become a link meanwhile. O_NONBLOCK: opening a FIFO without a writer would block.
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
  try {
    const stats = await handle.stat({ bigint: true });
    const unchanged = isNetwork ? known?.textOf(name, stats) : undefined;
    if (unchanged !== undefined) return unchanged;
    if (stats.size > most) throw new Error(`it is larger than ${most} bytes; split it`);
    const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(await handle.readFile());
    return isNetwork && known ? known.keep(name, stats, text) : text;
  } finally {
    await handle.close();
  }
}

function unreadable(what: string, cause: unknown): never {
  throw new Refusal(
    `the policy folder cannot be read: ${what} (${(cause as Error).message}); correct that, or name another folder`,
    cause,
  );
}
