/** `authz serve --demo`: loads the demo data into a new database, and shows what the service says of it over HTTP. */

import { randomBytes } from 'node:crypto';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Config } from '../config.ts';
import { importFile } from '../directory/import.ts';
import type { Database } from '../service.ts';
import { print, table } from './output.ts';

/** API key id -> the key in clear. Kept in DATA_DIR, mode 0600, since the database could not tell them again. */
type DemoKeys = Readonly<Record<string, string>>;

const DOCUMENT = path.join('examples', 'demo.json');

/** What is asked: at least one question for each code that can be reached without waiting. */
const QUESTIONS: readonly { readonly key: string; readonly action: string; readonly businessId?: string }[] = [
  { key: 'ada-main', action: 'call:create', businessId: 'bakery' },
  { key: 'ada-main', action: 'user:update' },
  { key: 'ada-staging', action: 'account:read' },
  { key: '', action: 'call:create', businessId: 'bakery' },
  { key: 'iqra_mistyped', action: 'call:create', businessId: 'bakery' },
  { key: 'ada-expired', action: 'call:create', businessId: 'bakery' },
  { key: 'ada-revoked', action: 'call:create', businessId: 'bakery' },
  { key: 'bob-main', action: 'call:create', businessId: 'bakery' },
  { key: 'ada-bakery', action: 'user:update' },
  { key: 'ada-bakery', action: 'call:create', businessId: 'garage' },
  { key: 'ada-main', action: 'call:create', businessId: 'florist' },
  { key: 'ada-main', action: 'call:create', businessId: 'no-such-business' },
  { key: 'ada-main', action: 'call:create' },
  { key: 'ada-main', action: 'call:create', businessId: 'closed-cafe' },
  { key: 'cleo-main', action: 'call:create', businessId: 'florist' },
];

/** Loads the demo data when the embedded database is new. Undefined when there is none, as with any DATABASE_URL. */
export async function loadDemo(config: Config, root: string, database: Database): Promise<DemoKeys | undefined> {
  if (config.DATABASE_URL !== undefined) return undefined;
  const file = path.join(config.DATA_DIR, 'demo-keys.json');
  const { rows } = await database.db.raw<{ rows: { empty: boolean }[] }>(
    'select not exists (select from users) as empty',
  );
  if (rows[0]?.empty) {
    const { generated } = await importFile({
      ...database,
      actor: { id: 'cli:demo' },
      file: path.join(root, DOCUMENT),
      form: 'json',
    });
    const keys: Record<string, string> = {};
    for await (const some of generated) for (const { id, apiKey } of some) keys[id] = apiKey;
    await writeFile(file, JSON.stringify(keys), { mode: 0o600 });
    await chmod(file, 0o600);
  }
  return readFile(file, 'utf8').then(
    (text) => JSON.parse(text) as DemoKeys,
    () => undefined,
  );
}

/** A token for the callers of one run, where the operator has set none. */
export const demoToken = (): string => randomBytes(24).toString('base64url');

/** Asks the running service the demo questions, prints a table of its answers, and a `curl` line to go on with. */
export async function showDemo(address: string, token: string, keys: DemoKeys): Promise<void> {
  const rows: Record<string, string>[] = [];
  for (const { key, action, businessId } of QUESTIONS) {
    const authorization = key === '' ? null : `Token ${keys[key] ?? key}`;
    const response = await fetch(`${address}/authorize`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ authorization, action, businessId }),
    });
    const { Code, Data } = (await response.json()) as { Code: string; Data?: { status?: number; rule?: string } };
    const business = businessId ?? '-';
    rows.push({
      'API key': key || 'none',
      action,
      business,
      Code,
      status: String(Data?.status ?? '-'),
      rule: Data?.rule ?? '-',
    });
  }
  const body = { authorization: `Token ${keys['ada-main']}`, action: 'call:create', businessId: 'bakery' };
  print(`\nDecisions on the demo data, from ${address}/authorize:\n\n${table(rows)}`);
  print('\nRATE_LIMITED has no line: this version does not limit rates yet.');
  print('\nAsk for yourself:\n');
  print(
    `curl -sS ${address}/authorize -H 'Authorization: Bearer ${token}' -H 'Content-Type: application/json' -d '${JSON.stringify(body)}'\n`,
  );
}
