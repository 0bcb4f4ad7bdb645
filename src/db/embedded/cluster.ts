/** The embedded server's data: made once, aside, and put in place whole. */

import { randomBytes } from 'node:crypto';
import { lstat, mkdtemp, readFile, realpath, rename, rm, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Refusal } from '../../errors.ts';
import { keepSecret } from '../../secret-file.ts';
import { canEnter, give, runAs, type ServerAccount } from './account.ts';
import { makeSharedFolder, SHARED_FOLDER } from './binaries.ts';

export interface Cluster {
  /** The real path of the data folder, which the account owns. */
  readonly folder: string;
  /** Of the database user `authz`. A secret. */
  readonly password: string;
}

export const USER = 'authz';

/**
 * The cluster of `dataDir`, made where there is none: under it, or, where the account cannot get there, in a folder of
 * its own that `dataDir/postgres` then points to.
 *
 * @throws Refusal when initdb fails, or when what is there cannot be used with the programs in `bin`.
 */
export async function openCluster(dataDir: string, bin: string, account: ServerAccount): Promise<Cluster> {
  const place = path.join(dataDir, 'postgres');
  const secret = path.join(dataDir, 'postgres.password');
  const exists = await isThere(place);
  if (exists && !(await isThere(secret))) {
    throw new Refusal(
      `${secret} is missing, so the database beside it cannot be used; restore it, or move ${place} away to begin anew`,
    );
  }
  const password = await keepSecret(secret, () => randomBytes(24).toString('hex'));
  if (!exists) await createCluster(place, password, bin, account);
  const folder = await realpath(place).catch((cause: unknown) => {
    throw new Refusal(
      `${place} points to a folder that is missing; restore it, or remove ${place} to begin anew`,
      cause,
    );
  });
  await refuseOtherVersion(folder, bin, account);
  return { folder, password };
}

async function createCluster(place: string, password: string, bin: string, account: ServerAccount): Promise<void> {
  const reachable = canEnter(account, path.dirname(place));
  if (!reachable) await makeSharedFolder();
  const aside = await mkdtemp(
    reachable ? path.join(path.dirname(place), '.new-') : path.join(SHARED_FOLDER, 'cluster-'),
  );
  const data = path.join(aside, 'data');
  const passwordFile = path.join(aside, 'password');
  try {
    await writeFile(passwordFile, password, { mode: 0o600 });
    for (const file of [passwordFile, aside]) await give(account, file);
    const options = ['-U', USER, '-A', 'scram-sha-256', '-E', 'UTF8', '--locale=C', '--no-instructions'];
    const made = runAs(account, path.join(bin, 'initdb'), ['-D', data, `--pwfile=${passwordFile}`, ...options]);
    if (made.status !== 0)
      throw new Refusal(`the embedded database cannot be made: ${made.error?.message ?? made.stderr.trim()}`);
    await rm(passwordFile);
    if (reachable) await rename(data, place);
    else await symlink(data, place);
  } catch (error) {
    await rm(aside, { recursive: true, force: true });
    // Another process was first, and its cluster is as good as ours.
    if (!['EEXIST', 'ENOTEMPTY', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  }
  if (reachable) await rm(aside, { recursive: true, force: true });
}

async function refuseOtherVersion(folder: string, bin: string, account: ServerAccount): Promise<void> {
  const made = (await readFile(path.join(folder, 'PG_VERSION'), 'utf8')).trim();
  const have = /\(PostgreSQL\) (\d+)/.exec(runAs(account, path.join(bin, 'postgres'), ['--version']).stdout)?.[1];
  if (made === have) return;
  throw new Refusal(
    `the database in ${folder} was made by PostgreSQL ${made}, and the embedded one is ${have}. Move its contents with ` +
      `pg_dump and psql, or go back to a version of this service that comes with PostgreSQL ${made}.`,
  );
}

/** Of the thing itself, not of what a link points to. */
async function isThere(file: string): Promise<boolean> {
  return lstat(file).then(
    () => true,
    () => false,
  );
}
