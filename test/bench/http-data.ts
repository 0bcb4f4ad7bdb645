/** Databases full of keys, and the questions that are asked about them. */

import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import pg from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import { createToken, digestOf, hintOf, type Pepper } from '../../src/credentials/token.ts';
import { connect } from '../../src/db/connect.ts';
import { migrate } from '../../src/db/migrate.ts';

/** Keys of one user, who owns one business. */
const KEYS_OF_USER = 10;
const CHUNK = 5000;

/** The question about a key on its user's business, as a service of the platform sends it. */
const questionOf = (apiKey: string, user: number): object => ({
  authorization: `Token ${apiKey}`,
  action: 'call:create',
  businessId: `business-${user}`,
  context: {
    ip: '203.0.113.7',
    userAgent: 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36',
    requestId: '4bf92f3577b34da6a3ce929d0e0e4736',
  },
});

/** Digits of tokens, fast and the same in each run. These keys protect nothing. */
function digits(seed: string): () => number {
  let block = Buffer.alloc(0);
  let at = 0;
  let number = 0;
  return () => {
    for (;;) {
      if (at === block.length) {
        block = createHash('shake256', { outputLength: 65_536 }).update(`${seed}${number++}`).digest();
        at = 0;
      }
      const byte = block[at++] ?? 0;
      if (byte < 248) return byte % 62;
    }
  };
}

/**
 * Fills an empty, migrated database with `keys` keys, and writes the questions about `inUse` of them to `file`, one a
 * line, each of another user as long as there are enough users.
 */
export async function fill(url: string, pepper: Pepper, keys: number, inUse: number, file: string): Promise<void> {
  const users = keys / KEYS_OF_USER;
  const digit = digits(url);
  const questions: string[] = [];
  function* rows(): Generator<string> {
    for (let key = 0; key < keys; key += CHUNK) {
      let chunk = '';
      for (let n = key; n < Math.min(key + CHUNK, keys); n += 1) {
        const apiKey = createToken('apiKey', digit);
        const user = n % users;
        if (n < inUse) questions.push(JSON.stringify(questionOf(apiKey, user)));
        const digest = digestOf(pepper, apiKey).toString('hex');
        chunk += `key-${n}\tuser-${user}\ta key\t\\\\x${digest}\t${pepper.id}\t${hintOf(apiKey)}\tf\tf\tproduction\n`;
      }
      yield chunk;
    }
  }
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    // The rows are sound, and checking each of a million references takes longer than all the rest.
    await client.query('set session_replication_role = replica');
    const sequence = `generate_series(0, ${users - 1}) n`;
    await client.query(`insert into users (id) select 'user-' || n from ${sequence}`);
    await client.query(`insert into businesses (id) select 'business-' || n from ${sequence}`);
    await client.query(`insert into business_members select 'business-' || n, 'user-' || n, 'owner' from ${sequence}`);
    const copy = `copy api_keys (id, user_id, friendly_name, digest, pepper_id, hint, allow_user_management, restricted,
      environment) from stdin`;
    await pipeline(Readable.from(rows()), client.query(copyFrom(copy)));
    await client.query('vacuum analyze');
    await client.query('checkpoint');
  } finally {
    await client.end();
  }
  await pipeline(Readable.from(questions.map((line) => `${line}\n`)), createWriteStream(file));
}

/** Inserts a caller that may ask, and returns its token. */
export async function addCaller(url: string, { id, secret }: Pepper): Promise<string> {
  const token = createToken('caller');
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const insert =
    "insert into callers (id, name, digest, pepper_id, scopes) values ('bench', 'bench', $1, $2, '{authorize}')";
  await client.query(insert, [digestOf({ id, secret }, token), id]).finally(() => client.end());
  return token;
}

/** Makes a migrated database on a server. `endings` gets what ends the connection to it. */
export async function newDatabase(serverUrl: string, name: string, endings: (() => unknown)[]) {
  const server = connect({ url: serverUrl, poolSize: 1 });
  await server.raw(`create database ${name}`);
  await server.destroy();
  const url = new URL(serverUrl);
  url.pathname = name;
  const db = connect({ url: url.href, poolSize: 1 });
  endings.push(() => db.destroy());
  await migrate(db);
  return { url: url.href, db };
}
