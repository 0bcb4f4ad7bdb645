/** Which policy is live: for now the one that the folder held at the start. */

import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { Refusal } from '../errors.ts';
import { type Finding, printFinding } from '../policy/finding.ts';
import type { PolicyTexts } from '../policy/parse.ts';
import { buildPolicy, compilePolicy, type Policy } from '../policy/policy.ts';

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
  const { policy, findings } = await compilePolicy(await readPolicyFolder(folder));
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
  for (const name of [...(await list(folder)), ...(await list(path.join(folder, 'cases'), 'cases/'))]) {
    texts.set(name, await readText(folder, name));
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
      `the policy folder ${folder} cannot be read (${(cause as Error).message}); set POLICY_DIR`,
      cause,
    );
  }
}

async function readText(folder: string, name: string): Promise<string> {
  const file = path.join(folder, name);
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(await readFile(file));
  } catch (cause) {
    throw new Refusal(`the policy file ${file} cannot be read as UTF-8 text (${(cause as Error).message})`, cause);
  }
}
