/** The embedded server's data folder: initdb runs in a temporary folder, which a rename or a link then puts in place. */

import { randomBytes } from 'node:crypto';
import { lstat, mkdtemp, readFile, realpath, rename, rm, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Refusal } from '../../errors.ts';
import { keepSecret } from '../../secret-file.ts';
import { canEnter, giveTo, runAs, type ServerAccount } from './account.ts';
import { makeSharedFolder, SHARED_FOLDER } from './binaries.ts';

export interface Cluster {
  /** The real path of the data folder, which the account owns. */
  readonly folder: string;
  /** Password of the database user `authz`: a secret. */
  readonly password: string;
}

export const USER = 'authz';

/**
 * Opens the cluster `dataDir/postgres`, or creates it. Where the server's account may not traverse `dataDir`, the data lies
 * in SHARED_FOLDER and `dataDir/postgres` is a symbolic link to it.
 *
 * @throws Refusal when initdb fails, the password file is missing, or the data is another major version's.
 */
export async function openCluster(dataDir: string, bin: string, account: ServerAccount): Promise<Cluster> {
  const place = path.join(dataDir, 'postgres');
  const secret = path.join(dataDir, 'postgres.password');
  const created = await exists(place);
  if (created && !(await exists(secret))) {
    throw new Refusal(
      `${secret} is missing, so the database beside it cannot be used; restore it, or move ${place} away to begin anew`,
    );
  }
  const password = await keepSecret(secret, () => randomBytes(24).toString('hex'));
  if (!created) await createCluster(place, password, bin, account);
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
  const temporary = await mkdtemp(
    reachable ? path.join(path.dirname(place), '.new-') : path.join(SHARED_FOLDER, 'cluster-'),
  );
  const data = path.join(temporary, 'data');
  const passwordFile = path.join(temporary, 'password');
  try {
    await writeFile(passwordFile, password, { mode: 0o600 });
    for (const file of [passwordFile, temporary]) await giveTo(account, file);
    const options = ['-U', USER, '-A', 'scram-sha-256', '-E', 'UTF8', '--locale=C', '--no-instructions'];
    const made = runAs(account, path.join(bin, 'initdb'), ['-D', data, `--pwfile=${passwordFile}`, ...options]);
    if (made.status !== 0)
      throw new Refusal(`initdb could not create the embedded database: ${made.error?.message ?? made.stderr.trim()}`);
    await rm(passwordFile);
    if (reachable) await rename(data, place);
    else await symlink(data, place);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    // Another process created the cluster meanwhile: use that one.
    if (!['EEXIST', 'ENOTEMPTY', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  }
  if (reachable) await rm(temporary, { recursive: true, force: true });
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

/** Whether the path exists, as a dangling link, too. */
async function exists(file: string): Promise<boolean> {
  return lstat(file).then(
    () => true,
    () => false,
  );
}
