/** Databases full of keys, and the questions that are asked about them. */

import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import pg from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import { createToken, digestOf, hintOf, type Pepper } from '../../src/credentials/token.ts';

/** Keys of one user, who owns one business. */
const KEYS_OF_USER = 10;
const CHUNK = 5000;

const AGENTS = [
  'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36',
  'Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 Version/18.5 Mobile/15E148 Safari/604.1',
  'iqra-sdk-python/2.4.1 python/3.12',
];

/** A key that is asked about, and the business of its user. */
export interface Asked {
  readonly apiKey: string;
  readonly businessId: string;
}

/** A question as short as it gets. */
export const bareQuestion = ({ apiKey, businessId }: Asked): object => ({
  authorization: `Token ${apiKey}`,
  action: 'call:create',
  businessId,
});

/** As a service of the platform sends it: every request has an id of its own, every key its clients. `n` tells them apart. */
export const questionWithContext = (asked: Asked, n: number): object => ({
  ...bareQuestion(asked),
  context: {
    ip: `203.0.${n & 127}.${(n >> 7) & 255}`,
    userAgent: AGENTS[n % AGENTS.length],
    requestId: createHash('md5').update(`${n}`).digest('hex'),
  },
});

/** One that is denied, for one reason out of four. */
export function deniedQuestion(asked: Asked, n: number): object {
  const question = questionWithContext(asked, n);
  const reasons = [
    { businessId: 'business-of-nobody' },
    { businessId: undefined },
    { action: 'user:create' },
    { authorization: 'Token iqra_no-such-key' },
  ];
  return { ...question, ...reasons[n % reasons.length] };
}

/** `times` questions about each key, in turns; with `n`, the number of each. */
export function* about(
  asked: readonly Asked[],
  times: number,
  question: (asked: Asked, n: number) => object,
): Generator<string> {
  for (let n = 0; n < asked.length * times; n += 1) yield JSON.stringify(question(asked[n % asked.length] as Asked, n));
}

/** Bodies for `/authorize/batch`, of `size` questions each. */
export function* inBatches(questions: Iterable<string>, size: number): Generator<string> {
  let batch: string[] = [];
  for (const question of questions) {
    if (batch.push(question) < size) continue;
    yield `{"requests":[${batch.join()}]}`;
    batch = [];
  }
}

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

export interface Filled {
  /** The keys in use, each of another user as long as there are enough users. */
  readonly asked: readonly Asked[];
}

/** Fills an empty, migrated database with `keys` keys, of which `inUse` are told. */
export async function fill(url: string, pepper: Pepper, keys: number, inUse: number): Promise<Filled> {
  const users = keys / KEYS_OF_USER;
  const digit = digits(url);
  const asked: Asked[] = [];
  function* rows(): Generator<string> {
    for (let key = 0; key < keys; key += CHUNK) {
      let chunk = '';
      for (let n = key; n < Math.min(key + CHUNK, keys); n += 1) {
        const apiKey = createToken('apiKey', digit);
        const user = n % users;
        if (n < inUse) asked.push({ apiKey, businessId: `business-${user}` });
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
  return { asked };
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
