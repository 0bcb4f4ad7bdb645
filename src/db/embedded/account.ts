/**
 * The operating-system account of the embedded server. PostgreSQL refuses to run as root, so under root it runs as an
 * unprivileged account, which must be able to traverse to its programs and data without any folder's mode being loosened.
 */

import { spawnSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { chown } from 'node:fs/promises';
import { Refusal } from '../../errors.ts';

export interface Account {
  readonly uid: number;
  readonly gid: number;
}

/** Undefined: the account of this process. */
export type ServerAccount = Account | undefined;

/**
 * Under root: the owner of the existing data folder, else `postgres` or `nobody`. The owner comes first because an account
 * that was added since (by installing PostgreSQL, say) could not read that data.
 * @throws Refusal under root where neither account exists
 */
export function serverAccount(data: string): ServerAccount {
  if (process.getuid?.() !== 0) return undefined;
  const owner = statSync(data, { throwIfNoEntry: false });
  if (owner && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid };
  const accounts = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'));
  for (const name of ['postgres', 'nobody']) {
    const entry = accounts.find(([user]) => user === name);
    if (entry) return { uid: Number(entry[2]), gid: Number(entry[3]) };
  }
  throw new Refusal('PostgreSQL does not run as root, and there is no account postgres or nobody; set DATABASE_URL');
}

/** Runs a program to its end as the account, without our environment, which holds secrets. */
export function runAs(account: ServerAccount, program: string, args: readonly string[], input = '') {
  return spawnSync(program, args, { ...account, input, encoding: 'utf8', cwd: '/', env: SERVER_ENVIRONMENT });
}

export const SERVER_ENVIRONMENT = { PATH: '/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' };

/** Whether the account may traverse every folder of the path and enter the last: tried by a `cd` as that account. */
export const canEnter = (account: ServerAccount, folder: string): boolean =>
  account === undefined || runAs(account, '/bin/sh', ['-c', 'cd "$1"', 'sh', folder]).status === 0;

/** chown to the account. */
export const giveTo = async (account: ServerAccount, file: string): Promise<void> => {
  if (account) await chown(file, account.uid, account.gid);
};
