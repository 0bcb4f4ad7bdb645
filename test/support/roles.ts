/** The roles of deploy/roles.sql in a test's database, and logins that hold them. */

import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { Knex } from 'knex';

export const ROLES_SQL = path.join(import.meta.dirname, '..', '..', 'deploy', 'roles.sql');

export const createRoles = async (owner: Knex): Promise<void> =>
  void (await owner.raw(await readFile(ROLES_SQL, 'utf8')));

let logins = 0;

/** `url` for a new login, which is a member of the role; or of none. */
export async function loginOf(owner: Knex, url: string, role?: string): Promise<string> {
  const name = `login_${process.pid}_${++logins}`;
  await owner.raw(`create role ${name} login password '${name}' ${role === undefined ? '' : `in role ${role}`}`);
  const address = new URL(url);
  address.username = address.password = name;
  return address.href;
}
