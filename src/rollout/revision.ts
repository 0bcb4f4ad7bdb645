/**
 * Reads a policy folder at a git revision. git runs without a shell, and user input cannot become an option or a pathspec:
 * the revision is resolved to a commit hash first, and only hashes are passed after that.
 */

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { Refusal } from '../errors.ts';
import { LIMITS, type PolicyTexts } from '../policy/folder/files.ts';

const run = promisify(execFile);
const HASH = /^[0-9a-f]{40,64}$/;
/** An entry of `git ls-tree -z`: mode, type, hash, and the path below the folder. */
const ENTRY = /^(?<mode>\d{6}) (?<type>[a-z]+) (?<hash>[0-9a-f]{40,64})\t(?<file>.+)$/s;
const REGULAR = ['100644', '100755'];
/** As a folder is read: see folder.ts. */
const MAX_BYTES = 3 * LIMITS.network;

/**
 * The files of `folder`, which must lie in a git checkout, at `revision` (`main`, `HEAD~1`, a hash); dot files aside.
 * @throws Refusal when there is no such revision, or no such folder in it, or a link or a submodule.
 */
export async function readPolicyRevision(folder: string, revision: string): Promise<PolicyTexts> {
  const commit = await resolve(folder, revision);
  const listing = (await git(folder, ['ls-tree', '-r', '-z', commit, '.'])).toString('utf8');
  const texts = new Map<string, string>();
  for (const line of listing.split('\0')) {
    const { mode = '', hash = '', file = '' } = ENTRY.exec(line)?.groups ?? {};
    if (line === '' || file.split('/').some((name) => name.startsWith('.'))) continue;
    if (!REGULAR.includes(mode))
      throw new Refusal(`${file} at ${revision} is a symbolic link or a submodule, not a file`);
    const bytes = await git(folder, ['cat-file', 'blob', hash]);
    texts.set(file, new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes));
  }
  if (texts.size === 0) throw new Refusal(`the revision ${revision} has no folder ${folder}`);
  return texts;
}

async function resolve(folder: string, revision: string): Promise<string> {
  const unknown = `${JSON.stringify(revision)} is neither a folder nor a git revision of ${folder}`;
  if (revision === '' || revision.startsWith('-')) throw new Refusal(unknown);
  const output = await git(folder, ['rev-parse', '--verify', '--end-of-options', `${revision}^{commit}`]).catch(
    (cause) => {
      throw new Refusal(`${unknown} (${reasonOf(cause)})`, cause);
    },
  );
  const commit = output.toString('utf8').trim();
  if (!HASH.test(commit)) throw new Refusal(unknown);
  return commit;
}

async function git(folder: string, args: readonly string[]): Promise<Buffer> {
  const { stdout } = await run('git', ['-C', folder, ...args], { encoding: 'buffer', maxBuffer: MAX_BYTES });
  return stdout;
}

/** git's error message, its first line; or that git is missing. */
function reasonOf(cause: NodeJS.ErrnoException & { readonly stderr?: Buffer }): string {
  if (cause.code === 'ENOENT') return 'git is not installed, or the folder does not exist';
  return cause.stderr?.toString('utf8').trim().split('\n')[0] || cause.message;
}
