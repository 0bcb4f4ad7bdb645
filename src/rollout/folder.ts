/** Reads a policy folder into texts, and builds a policy of it or refuses it with every finding. */

import { constants } from 'node:fs';
import { open, readdir } from 'node:fs/promises';
import path from 'node:path';
import { Refusal } from '../errors.ts';
import type { Policy } from '../policy/decide.ts';
import { LIMITS, type PolicyTexts } from '../policy/folder/files.ts';
import { type Finding, printFinding } from '../policy/folder/findings.ts';
import { buildPolicy, compilePolicy } from '../policy/policy.ts';

/** The policy of a folder. @throws Refusal that names every finding with file, line, column and reason. */
export const loadPolicy = async (folder: string): Promise<Policy> =>
  admitPolicy(folder, await readPolicyFolder(folder));

/** Builds and checks the policy of a folder's texts. @throws Refusal that names every finding with file, line, column and reason. */
export async function admitPolicy(folder: string, texts: PolicyTexts): Promise<Policy> {
  const { policy, findings } = await buildPolicy(texts);
  if (policy) return policy;
  throw refusal(`the policy in ${folder} is refused; correct it, or set POLICY_DIR to another folder`, findings);
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
 * The texts of the folder's files and of those in `cases`, without dot files (editors' swap files, Kubernetes' `..data`).
 * @throws Refusal when the folder cannot be read or a file is not UTF-8.
 */
export async function readPolicyFolder(folder: string): Promise<PolicyTexts> {
  const texts = new Map<string, string>();
  let size = 0;
  for (const name of [...(await list(folder)), ...(await list(path.join(folder, 'cases'), 'cases/'))]) {
    const text = await readText(folder, name);
    texts.set(name, text);
    size += text.length;
    // Beyond the limits, stop reading: the check reports them.
    if (size > LIMITS.folder || texts.size > LIMITS.files) break;
  }
  return texts;
}

async function list(folder: string, prefix = ''): Promise<string[]> {
  try {
    const names = await readdir(folder);
    return names
      .filter((name) => !name.startsWith('.') && prefix + name !== 'cases')
      .map((name) => prefix + name)
      .sort();
  } catch (cause) {
    // A missing `cases` folder is reported by the check, as a finding.
    if (prefix !== '' && (cause as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw new Refusal(
      `the policy folder ${folder} cannot be read (${(cause as Error).message}); name one that can`,
      cause,
    );
  }
}

async function readText(folder: string, name: string): Promise<string> {
  const file = path.join(folder, name);
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(await readBytes(file));
  } catch (cause) {
    throw new Refusal(`the policy file ${file} cannot be read as UTF-8 text (${(cause as Error).message})`, cause);
  }
}

/** LIMITS.file counts UTF-16 units, and each takes at most 3 bytes in UTF-8. */
const MAX_BYTES = 3 * LIMITS.file;

/** Reads a regular file. A pipe or a device might never end, and is refused. */
async function readBytes(file: string): Promise<Buffer> {
  // O_NONBLOCK: opening a FIFO without a writer would block.
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) throw new Error('it is not a regular file');
    if (stat.size > MAX_BYTES) throw new Error(`it is larger than ${MAX_BYTES} bytes; split it`);
    return await handle.readFile();
  } finally {
    await handle.close();
  }
}
