/** `authz serve --demo`: loads the demo data into a new embedded database, and prints decisions on it, asked over HTTP. */

import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../config.ts';
import type { Database } from '../database.ts';
import { createCaller } from '../directory/callers.ts';
import { importFile } from '../directory/import.ts';
import { createFreeze } from '../freezes/freezes.ts';
import { NOTHING_DECLARED } from '../policy/declared/declaration.ts';
import { table } from './terminal/output.ts';
import type { Terminal } from './terminal/terminal.ts';

/** Kept in DATA_DIR, mode 0600: the database has only their digests. */
export interface DemoSecrets {
  /** Of a caller with the scope `authorize` only. */
  readonly callerToken: string;
  /** API key id -> the key in clear. */
  readonly apiKeys: Readonly<Record<string, string>>;
}

const ATTEMPTS = 10;
const ACTOR = { id: 'cli:demo' };
const DOCUMENT = path.join('examples', 'demo.json');

const FROZEN = { action: 'report:export', apiKeyId: null, userId: null, businessId: null };

/** What is asked, in this order: at least one question for each code. */
const QUESTIONS: readonly { readonly key: string; readonly action: string; readonly businessId?: string }[] = [
  { key: 'ada-main', action: 'call:create', businessId: 'bakery' },
  { key: 'ada-main', action: 'user:update' },
  { key: 'ada-staging', action: 'account:read' },
  { key: '', action: 'call:create', businessId: 'bakery' },
  { key: 'iqra_mistyped', action: 'call:create', businessId: 'bakery' },
  { key: 'ada-expired', action: 'call:create', businessId: 'bakery' },
  { key: 'ada-revoked', action: 'call:create', businessId: 'bakery' },
  { key: 'bob-main', action: 'call:create', businessId: 'bakery' },
  // A rate limit of one request a minute: the second is over it.
  { key: 'ada-metered', action: 'call:create', businessId: 'bakery' },
  { key: 'ada-metered', action: 'call:create', businessId: 'bakery' },
  { key: 'ada-bakery', action: 'user:update' },
  { key: 'ada-bakery', action: 'call:create', businessId: 'garage' },
  { key: 'ada-main', action: 'call:create', businessId: 'florist' },
  { key: 'ada-main', action: 'call:create', businessId: 'no-such-business' },
  { key: 'ada-main', action: 'call:create' },
  { key: 'ada-main', action: 'report:export', businessId: 'bakery' },
  { key: 'ada-main', action: 'call:create', businessId: 'closed-cafe' },
  { key: 'cleo-main', action: 'call:create', businessId: 'florist' },
];

/** Loads the demo data when the embedded database is new. Undefined when there is none, as with any DATABASE_URL. */
export async function loadDemo(config: Config, root: string, database: Database): Promise<DemoSecrets | undefined> {
  if (config.DATABASE_URL !== undefined) return undefined;
  const file = path.join(config.DATA_DIR, 'demo-keys.json');
  const { rows } = await database.db.raw<{ rows: { empty: boolean }[] }>(
    'select not exists (select from users) as empty',
  );
  if (rows[0]?.empty) {
    const { generated } = await importFile({
      ...database,
      actor: ACTOR,
      file: path.join(root, DOCUMENT),
      form: 'json',
      maxLifetimeMs: config.MAX_KEY_LIFETIME,
      // The document has no attributes.
      declaration: async () => NOTHING_DECLARED,
    });
    const apiKeys: Record<string, string> = {};
    for await (const some of generated) for (const { id, apiKey } of some) apiKeys[id] = apiKey;
    await createFreeze(database.db, ACTOR, FROZEN, 'Exports are being looked into.', { forSeconds: 366 * 86_400 });
    const { token } = await createCaller(database.db, database.peppers[0], ACTOR, 'demo', ['authorize']);
    await writeFile(file, JSON.stringify({ callerToken: token, apiKeys } satisfies DemoSecrets), { mode: 0o600 });
  }
  return readFile(file, 'utf8').then(
    (text) => JSON.parse(text) as DemoSecrets,
    () => undefined,
  );
}

interface Answer {
  readonly Code: string;
  readonly Data?: { readonly status?: number; readonly rule?: string };
}

/** Asks one question, and retries 5xx: a new database on a busy machine may miss the deadline of a decision. */
async function ask(address: string, token: string, question: object): Promise<Answer> {
  for (let attempt = 1; ; attempt += 1) {
    const response = await fetch(`${address}/authorize`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify(question),
    });
    const answer = (await response.json()) as Answer;
    if (response.status < 500 || attempt === ATTEMPTS) return answer;
    await sleep(500);
  }
}

/** Asks the running service the demo questions, prints a table of its answers, and a `curl` line to go on with. */
export async function showDemo(
  { print, printSecret }: Pick<Terminal, 'print' | 'printSecret'>,
  address: string,
  { callerToken: token, apiKeys: keys }: DemoSecrets,
): Promise<void> {
  const rows: Record<string, string>[] = [];
  for (const { key, action, businessId } of QUESTIONS) {
    const authorization = key === '' ? null : `Token ${keys[key] ?? key}`;
    const { Code, Data } = await ask(address, token, { authorization, action, businessId });
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
  print('\nAsk for yourself:\n');
  printSecret(
    `curl -sS ${address}/authorize -H 'Authorization: Bearer ${token}' -H 'Content-Type: application/json' -d '${JSON.stringify(body)}'\n`,
  );
}
