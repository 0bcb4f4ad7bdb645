/**
 * Who the embedded server runs as. PostgreSQL refuses to run as root, so under root it runs as an unprivileged account,
 * which then must be able to reach its programs and its data without any folder's mode being loosened for it.
 */

import { spawnSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { chown } from 'node:fs/promises';
import { Refusal } from '../../errors.ts';

export interface Account {
  readonly uid: number;
  readonly gid: number;
}

/** Undefined: the server runs as this process does. */
export type ServerAccount = Account | undefined;

/**
 * Under root: the owner of the data where there is some already, whichever accounts the system has got since.
 * @throws Refusal when this is root and the system has none of the accounts.
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

/** Runs a program to its end as the account, with nothing of our environment. */
export function runAs(account: ServerAccount, program: string, args: readonly string[], input = '') {
  return spawnSync(program, args, { ...account, input, encoding: 'utf8', cwd: '/', env: SERVER_ENVIRONMENT });
}

export const SERVER_ENVIRONMENT = { PATH: '/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' };

/** Whether the account can go through every folder of the path and into the last one. Asked of the kernel, as the account. */
export const canEnter = (account: ServerAccount, folder: string): boolean =>
  account === undefined || runAs(account, '/bin/sh', ['-c', 'cd "$1"', 'sh', folder]).status === 0;

export const give = async (account: ServerAccount, file: string): Promise<void> => {
  if (account) await chown(file, account.uid, account.gid);
};
