/** Policies from folders: read, checked, and refused with every reason. */

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

/** The policy that a folder's texts make. @throws Refusal that names every finding with file, line, column and reason. */
export async function admitPolicy(folder: string, texts: PolicyTexts): Promise<Policy> {
  const { policy, findings } = await buildPolicy(texts);
  if (policy) return policy;
  throw refusal(`the policy in ${folder} is refused; mend it, or set POLICY_DIR to another folder`, findings);
}

/** The policy of a folder as it reads, whether or not it may go live. @throws Refusal when it cannot be read. */
export async function compileFolder(folder: string): Promise<Policy> {
  const { policy, findings } = compilePolicy(await readPolicyFolder(folder));
  if (policy) return policy;
  throw refusal(`the policy in ${folder} cannot be read`, findings);
}

const refusal = (what: string, findings: readonly Finding[]): Refusal =>
  new Refusal([`${what}:`, ...findings.map((finding) => `  ${printFinding(finding)}`)].join('\n'));

/**
 * The folder's files, dot files aside (editors and mounts keep their own things there), and those of its `cases`.
 * @throws Refusal when the folder cannot be read or a file is not UTF-8.
 */
export async function readPolicyFolder(folder: string): Promise<PolicyTexts> {
  const texts = new Map<string, string>();
  let size = 0;
  for (const name of [...(await list(folder)), ...(await list(path.join(folder, 'cases'), 'cases/'))]) {
    const text = await readText(folder, name);
    texts.set(name, text);
    size += text.length;
    // What is too much already is not read on; the check says so.
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
    // Without cases the folder is refused all the same, with a finding that says so.
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

/** A character has at most 3 bytes for each of its UTF-16 units. */
const MOST_BYTES = 3 * LIMITS.file;

/** The whole of a plain file. A pipe would never end, and a device might not; neither holds a policy. */
async function readBytes(file: string): Promise<Buffer> {
  // Not waiting for whoever should write into a pipe.
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) throw new Error('it is no plain file');
    if (stat.size > MOST_BYTES) throw new Error(`it is larger than ${MOST_BYTES} bytes; split it`);
    return await handle.readFile();
  } finally {
    await handle.close();
  }
}
