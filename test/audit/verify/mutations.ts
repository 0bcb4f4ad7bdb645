/** What a superuser can do to the log: every kind of it, and where `verify` must find it. */

import { randomBytes, randomUUID } from 'node:crypto';
import type { Knex } from 'knex';
import { recordHash } from '../../../src/audit/format/record-hash.ts';
import { loadSigner, makeSigningKey } from '../../../src/audit/format/signatures.ts';
import type { VerifyFindingCode } from '../../../src/audit/verify/findings.ts';
import { ownFacts } from '../own-facts.ts';
import { exampleRecord, type WrittenRecord, writeHead, writeRecords } from '../written-log.ts';

export interface Target {
  readonly db: Knex;
  /** In the order of day, boot and number; all of them covered by a checkpoint outside the database. */
  readonly records: readonly WrittenRecord[];
  /** Numbers from 1 to this one. */
  readonly checkpoints: number;
}

/** What must be named: a record of a chain, or a checkpoint. */
export interface Place {
  /** Where a finding of another code at the same place would not do. */
  readonly code?: VerifyFindingCode;
  readonly boot?: string;
  readonly day?: string;
  readonly seq?: number;
  readonly checkpoint?: number;
}

/** Draws a whole number below `limit`. */
export type Draw = (limit: number) => number;

/** mulberry32: small, and the same everywhere. */
export function drawer(seed: number): Draw {
  let state = seed;
  return (limit) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % limit;
  };
}

export type Mutation = (target: Target, draw: Draw) => Promise<Place>;

const placeOf = ({ boot, day, seq }: WrittenRecord): Place => ({ boot, day, seq });

function pick<T>(list: readonly T[], draw: Draw): T {
  const item = list[draw(list.length)];
  if (item === undefined) throw new Error('there is nothing to pick');
  return item;
}

const chainsOf = (records: readonly WrittenRecord[]): WrittenRecord[][] => {
  const chains = new Map<string, WrittenRecord[]>();
  for (const record of records) {
    const list = chains.get(record.day + record.boot) ?? [];
    list.push(record);
    chains.set(record.day + record.boot, list);
  }
  return [...chains.values()];
};

const where = 'where id = ?';
const OF_SITUATION = ['policy', 'facts', 'facts_version'];

/** Sets a column to what an SQL expression makes of the row, or of a drawn text. */
const edit =
  (column: string, expression: string): Mutation =>
  async ({ db, records }, draw) => {
    const record = pick(records, draw);
    if (OF_SITUATION.includes(column)) await ownFacts(db, record.id);
    await db.raw(`update decision_records set ${column} = ${expression} ${where}`, [record.id]);
    return placeOf(record);
  };

/** Adds a situation that says otherwise, with its digest. */
async function addOther(db: Knex, situation: Buffer): Promise<Buffer> {
  const other = randomBytes(32);
  await db.raw(
    `insert into situations select ?, last_day, policy, facts_version, facts || '{"limit": {"exceeded": true}}' from situations where digest = ?`,
    [other, situation],
  );
  return other;
}

/** One of the records that name a situation. */
async function pickShared(db: Knex, records: readonly WrittenRecord[], draw: Draw) {
  const rows = await db('decision_records')
    .whereNotNull('situation')
    .select<{ id: string; situation: Buffer }[]>('id', 'situation');
  const shared = new Map(rows.map(({ id, situation }) => [id, situation]));
  const record = pick(
    records.filter(({ id }) => shared.has(id)),
    draw,
  );
  return { record, situation: shared.get(record.id) as Buffer };
}

/** Alters every record that names it. */
const editSituation =
  (change: string): Mutation =>
  async ({ db, records }, draw) => {
    const { record, situation } = await pickShared(db, records, draw);
    await db.raw(`update situations set ${change} where digest = ?`, [situation]);
    return placeOf(record);
  };

const editText = (column: string): [string, Mutation] => [
  `edit ${column}`,
  edit(column, `case when ${column} is null then 'x' when ${column} ~ '^x' then 'y' else 'x' || ${column} end`),
];
const clearText = (column: string): [string, Mutation] => [
  `clear ${column}`,
  async ({ db, records }, draw) => {
    const record = pick(
      records.filter((one) => (one as unknown as Record<string, unknown>)[column] !== null),
      draw,
    );
    await db.raw(`update decision_records set ${column} = null ${where}`, [record.id]);
    return placeOf(record);
  },
];

const NEW_HASH = `sha256(hash)`;

const editHead =
  (column: string, expression: string, seqOf: (last: WrittenRecord) => Partial<Place>): Mutation =>
  async ({ db, records }, draw) => {
    const chain = pick(chainsOf(records), draw);
    const last = chain.at(-1);
    if (!last) throw new Error('an empty chain');
    await db.raw(`update chain_heads set ${column} = ${expression} where boot = ? and day = ?`, [last.boot, last.day]);
    return { boot: last.boot, day: last.day, ...seqOf(last) };
  };

const editCheckpoint =
  (column: string, expression: string): Mutation =>
  async ({ db, checkpoints }, draw) => {
    const checkpoint = 1 + draw(checkpoints);
    await db.raw(`update checkpoints set ${column} = ${expression} where number = ?`, [checkpoint]);
    return { checkpoint };
  };

/** Writes the records of a chain anew from `from` on, with hashes that follow, and the head. */
async function rewrite(db: Knex, chain: readonly WrittenRecord[], from: number): Promise<void> {
  let previous = chain[from - 1]?.hash ?? '';
  const [first] = chain;
  if (!first) return;
  if (from === 0) {
    const head = await db('chain_heads').where({ boot: first.boot, day: first.day }).first<{ opening: Buffer }>();
    previous = head.opening.toString('hex');
  }
  const rewritten = chain.slice(from).map((record, index) => {
    const changed = index === 0 ? { ...record, effect: 'allow', code: 'OK', rule: 'forged' } : record;
    previous = recordHash(Buffer.from(previous, 'hex'), changed).toString('hex');
    return { ...changed, hash: previous };
  });
  for (const { id } of rewritten) await db('decision_records').where({ id }).delete();
  await writeRecords(db, rewritten);
  await db.raw(`update chain_heads set hash = decode(?, 'hex') where boot = ? and day = ?`, [
    previous,
    first.boot,
    first.day,
  ]);
}

/** Removes everything behind `keep` records, and sets the head back to there. */
async function cutBack(db: Knex, chain: readonly WrittenRecord[], keep: number): Promise<WrittenRecord> {
  const first = chain[keep];
  if (!first) throw new Error('nothing to cut');
  const { boot, day } = first;
  for (const { id } of chain.slice(keep)) await db('decision_records').where({ id }).delete();
  if (keep === 0) await db('chain_heads').where({ boot, day }).delete();
  else {
    await db.raw(`update chain_heads set records = ?, hash = decode(?, 'hex') where boot = ? and day = ?`, [
      keep,
      chain[keep - 1]?.hash ?? '',
      boot,
      day,
    ]);
  }
  return first;
}

const otherwise = (record: WrittenRecord, seq: number): WrittenRecord => ({
  ...record,
  ...exampleRecord(record.boot, record.day, seq),
  seq,
  user_id: 'mallory',
});

/** A chain of one record, two days before the last one, with a head. Its hashes are right. */
export async function insertOldChain(db: Knex, records: readonly WrittenRecord[]): Promise<WrittenRecord> {
  const day = records[0]?.day ?? '';
  const forged = { ...exampleRecord(randomUUID(), day, 1), user_id: 'mallory' };
  const hash = recordHash(Buffer.alloc(32), forged);
  const record = { ...forged, hash: hash.toString('hex') };
  await writeRecords(db, [record]);
  await writeHead(db, forged.boot, day, { opening: Buffer.alloc(32), records: 1, hash });
  return record;
}

/** Inserts a checkpoint that another key has signed. */
const forgeCheckpoint =
  (numberOf: (target: Target) => string): Mutation =>
  async (target) => {
    const forger = await loadSigner(makeSigningKey());
    const number = numberOf(target);
    await target.db('checkpoints').insert({
      number,
      at: new Date(),
      writer: randomUUID(),
      size: 1,
      root: randomBytes(32),
      heads: '[]',
      public_key: Buffer.from(forger.publicKey, 'base64'),
      signature: Buffer.from(forger.sign(randomBytes(9)), 'base64'),
    });
    return { checkpoint: Number(number) };
  };

const MUTATIONS: readonly (readonly [string, Mutation])[] = [
  editText('caller_id'),
  editText('action'),
  editText('code'),
  editText('rule'),
  editText('policy'),
  ...['api_key_id', 'user_id', 'business_id', 'request_id', 'caller_request_id', 'trace_id', 'fingerprint'].flatMap(
    (column) => [editText(column), clearText(column)],
  ),
  ...['shadow_policy', 'shadow_code', 'shadow_rule', 'ip', 'user_agent'].flatMap((column) => [
    editText(column),
    clearText(column),
  ]),
  clearText('personal_salt'),
  ['edit personal_salt', edit('personal_salt', `coalesce(substr(sha256(personal_salt), 1, 16), '\\x00')`)],
  ['edit personal_digest', edit('personal_digest', 'sha256(personal_digest)')],
  ['edit effect', edit('effect', `case effect when 'allow' then 'deny' else 'allow' end`)],
  ['edit facts', edit('facts', `jsonb_set(facts, '{key,status}', '"revoked"')`)],
  ['add to the facts', edit('facts', `facts || '{"extra": {"id": ""}}'`)],
  ['edit facts_version', edit('facts_version', 'facts_version + 1')],
  ['edit the facts of a situation', editSituation(`facts = jsonb_set(facts, '{key,status}', '"revoked"')`)],
  ['add to the facts of a situation', editSituation(`facts = facts || '{"extra": {"id": ""}}'`)],
  ['take a group from the facts of a situation', editSituation(`facts = facts - 'limit'`)],
  ['edit the policy of a situation', editSituation(`policy = policy || '0'`)],
  ['edit the version of a situation', editSituation('facts_version = facts_version + 1')],
  ['edit the digest of a situation', editSituation('digest = sha256(digest)')],
  [
    'remove a situation',
    async ({ db, records }, draw) => {
      const { record, situation } = await pickShared(db, records, draw);
      await db('situations').where({ digest: situation }).delete();
      return placeOf(record);
    },
  ],
  [
    'have a record name another situation',
    async ({ db, records }, draw) => {
      const { record, situation } = await pickShared(db, records, draw);
      const other = await addOther(db, situation);
      await db('decision_records').where({ id: record.id }).update({ situation: other });
      return placeOf(record);
    },
  ],
  [
    'swap what two situations say',
    async ({ db, records }, draw) => {
      const { record, situation } = await pickShared(db, records, draw);
      const other = await addOther(db, situation);
      await db.raw(
        `update situations s set facts = o.facts from situations o
         where s.digest <> o.digest and s.digest in (:situation, :other) and o.digest in (:situation, :other)`,
        { situation, other },
      );
      return placeOf(record);
    },
  ],
  ['edit duration_us', edit('duration_us', 'duration_us + 1')],
  ['edit hash', edit('hash', NEW_HASH)],
  ['edit at', edit('at', `at + interval '1 ms'`)],
  ['edit id', edit('id', `(left(id::text, 35) || case right(id::text, 1) when '0' then '1' else '0' end)::uuid`)],
  ['edit boot', edit('boot', `'00000000-0000-4000-8000-000000000000'`)],
  ['edit seq', edit('seq', 'seq + 1000')],
  ['negate seq', edit('seq', '-seq')],
  [
    'move a record to another day',
    async ({ db, records }, draw) => {
      const record = pick(records, draw);
      const other = records.find(({ day }) => day !== record.day)?.day ?? '';
      await db.raw(`update decision_records set at = (? || substr(at::text, 11))::timestamptz ${where}`, [
        other,
        record.id,
      ]);
      return placeOf(record);
    },
  ],
  [
    'erase personal data without an event',
    async ({ db, records }, draw) => {
      const record = pick(records, draw);
      await db('decision_records').where({ id: record.id }).update({ ip: null, user_agent: null, personal_salt: null });
      return placeOf(record);
    },
  ],
  [
    'erase personal data under the event of another',
    async ({ db, records }, draw) => {
      const record = pick(records, draw);
      await db('decision_records').where({ id: record.id }).update({ ip: null, user_agent: null, personal_salt: null });
      await db('admin_events').insert({
        id: randomUUID(),
        at: new Date(Date.now() + 86_400_000),
        actor: 'mallory',
        action: 'audit.erase',
        subject_kind: 'user',
        subject_id: 'somebody-else',
      });
      return placeOf(record);
    },
  ],
  [
    'delete a record',
    async ({ db, records }, draw) => {
      const record = pick(records, draw);
      await db('decision_records').where({ id: record.id }).delete();
      return placeOf(record);
    },
  ],
  [
    'delete some records in a row',
    async ({ db, records }, draw) => {
      const chain = pick(chainsOf(records), draw);
      const start = draw(chain.length);
      const gone = chain.slice(start, start + 1 + draw(4));
      for (const { id } of gone) await db('decision_records').where({ id }).delete();
      return placeOf(gone[0] as WrittenRecord);
    },
  ],
  [
    'delete the records of a chain',
    async ({ db, records }, draw) => {
      const [{ boot, day } = { boot: '', day: '' }] = pick(chainsOf(records), draw);
      await db.raw(`delete from decision_records where boot = ? and at::date = ?`, [boot, day]);
      return { boot, day, seq: 1 };
    },
  ],
  [
    'swap two records',
    async ({ db, records }, draw) => {
      const chain = pick(chainsOf(records), draw);
      const first = draw(chain.length - 1);
      const [a, b] = [chain[first], chain[first + 1 + draw(chain.length - first - 1)]];
      if (!a || !b) throw new Error('no two records');
      for (const [one, other] of [
        [a, b],
        [b, a],
      ] as const)
        await db('decision_records').where({ id: one.id }).update({ seq: other.seq });
      return placeOf(a);
    },
  ],
  [
    'swap what two records say',
    async ({ db, records }, draw) => {
      const [a, b] = [records[draw(records.length - 1)], records.at(-1)];
      if (!a || !b) throw new Error('no two records');
      await db('decision_records').where({ id: a.id }).update({ user_id: 'swap-1', action: b.action });
      await db('decision_records').where({ id: b.id }).update({ user_id: a.user_id, action: a.action });
      return placeOf(a);
    },
  ],
  [
    'insert a record under a number that is taken',
    async ({ db, records }, draw) => {
      const record = pick(records, draw);
      await writeRecords(db, [otherwise(record, record.seq)]);
      return placeOf(record);
    },
  ],
  [
    'append a forged record that fits',
    async ({ db, records }, draw) => {
      const last = pick(chainsOf(records), draw).at(-1) as WrittenRecord;
      const forged = otherwise(last, last.seq + 1);
      await writeRecords(db, [{ ...forged, hash: recordHash(Buffer.from(last.hash, 'hex'), forged).toString('hex') }]);
      return { ...placeOf(last), seq: last.seq + 1 };
    },
  ],
  [
    'insert a chain of its own',
    async ({ db, records }, draw) => {
      const { day } = pick(records, draw);
      const forged = exampleRecord(randomUUID(), day, 1);
      const hash = recordHash(Buffer.alloc(32), forged).toString('hex');
      await writeRecords(db, [{ ...forged, hash }]);
      return { boot: forged.boot, day, seq: 1 };
    },
  ],
  [
    'insert a chain of an earlier day, with its head',
    async ({ db, records }) => {
      const { boot, day, seq } = await insertOldChain(db, records);
      return { code: 'backdated', boot, day, seq };
    },
  ],
  [
    'truncate the tail',
    async ({ db, records }, draw) => {
      const chain = pick(chainsOf(records), draw);
      const keep = 1 + draw(chain.length - 1);
      for (const { id } of chain.slice(keep)) await db('decision_records').where({ id }).delete();
      return placeOf(chain[keep] as WrittenRecord);
    },
  ],
  [
    'truncate the tail and set the head back',
    async ({ db, records }, draw) => {
      const chain = pick(chainsOf(records), draw);
      return placeOf(await cutBack(db, chain, 1 + draw(chain.length - 1)));
    },
  ],
  [
    'remove a chain with its head',
    async ({ db, records }, draw) => placeOf(await cutBack(db, pick(chainsOf(records), draw), 0)),
  ],
  [
    'rewrite a tail with hashes that follow',
    async ({ db, records }, draw) => {
      const chain = pick(chainsOf(records), draw);
      await rewrite(db, chain, draw(chain.length));
      const [{ boot, day } = { boot: '', day: '' }] = chain;
      return { boot, day };
    },
  ],
  [
    'rewrite a tail, and remove the checkpoints from the database',
    async ({ db, records, checkpoints }, draw) => {
      await rewrite(db, pick(chainsOf(records), draw), 0);
      await db('checkpoints').delete();
      return { checkpoint: 1 + draw(checkpoints) };
    },
  ],
  [
    'restore an older copy of everything',
    async ({ db, checkpoints }) => {
      for (const table of ['decision_records', 'situations', 'chain_heads', 'checkpoints'])
        await db.raw(`truncate ${table}; insert into ${table} select * from older.${table}`);
      return { checkpoint: checkpoints };
    },
  ],
  [
    'restore an older copy of the records',
    async ({ db, records }) => {
      await db.raw('truncate decision_records; insert into decision_records select * from older.decision_records');
      const { rows } = await db.raw<{ rows: { id: string }[] }>('select id from older.decision_records');
      const kept = new Set(rows.map(({ id }) => id));
      return placeOf(records.find(({ id }) => !kept.has(id)) as WrittenRecord);
    },
  ],
  [
    'empty the log',
    async ({ db, records }) => {
      await db.raw('truncate decision_records');
      return { ...placeOf(records[0] as WrittenRecord), seq: 1 };
    },
  ],
  ['edit the boot of a head', editHead('boot', `'00000000-0000-4000-8000-000000000000'`, () => ({ seq: 1 }))],
  ['edit the day of a head', editHead('day', 'day - 30', () => ({ seq: 1 }))],
  ['edit the format of a head', editHead('format', 'format + 1', () => ({ code: 'head', seq: 1 }))],
  ['edit the opening of a head', editHead('opening', 'sha256(opening)', () => ({ code: 'head', seq: 1 }))],
  [
    'edit a record and the format of its head',
    async ({ db, records }, draw) => {
      const record = pick(records, draw);
      const { id, boot, day } = record;
      await db('decision_records').where({ id }).update({ rule: 'forged' });
      await db('chain_heads').where({ boot, day }).update({ format: 7 });
      return { code: 'altered', ...placeOf(record) };
    },
  ],
  ['edit the hash of a head', editHead('hash', NEW_HASH, ({ seq }) => ({ seq }))],
  ['count a head up', editHead('records', 'records + 1', ({ seq }) => ({ seq: seq + 1 }))],
  ['count a head down', editHead('records', 'greatest(records - 1, 1)', () => ({}))],
  ['edit the number of a checkpoint', editCheckpoint('number', 'number + 1000')],
  ['edit the time of a checkpoint', editCheckpoint('at', `at + interval '1 ms'`)],
  ['edit the writer of a checkpoint', editCheckpoint('writer', `'00000000-0000-4000-8000-000000000000'`)],
  ['edit the size of a checkpoint', editCheckpoint('size', 'size + 1')],
  ['edit the root of a checkpoint', editCheckpoint('root', 'sha256(root)')],
  ['edit the heads of a checkpoint', editCheckpoint('heads', `jsonb_set(heads, '{0,records}', '1000')`)],
  [
    'edit a fraction of the heads',
    editCheckpoint(
      'heads',
      `jsonb_set(heads, '{0,records}', to_jsonb((heads #>> '{0,records}')::numeric + 0.00000000000000000001))`,
    ),
  ],
  ['empty the heads of a checkpoint', editCheckpoint('heads', `'[]'`)],
  ['edit the key of a checkpoint', editCheckpoint('public_key', `public_key || '\\x00'`)],
  [
    'edit the signature of a checkpoint',
    editCheckpoint('signature', `set_byte(signature, 7, 255 - get_byte(signature, 7))`),
  ],
  [
    'delete a checkpoint',
    async ({ db, checkpoints }, draw) => {
      const checkpoint = 1 + draw(checkpoints);
      await db('checkpoints').where({ number: checkpoint }).delete();
      return { checkpoint };
    },
  ],
  ['sign a checkpoint with a key of one’s own', forgeCheckpoint(({ checkpoints }) => String(checkpoints + 1))],
  ['insert a checkpoint at the end of all numbers', forgeCheckpoint(() => '9223372036854775807')],
];

export { MUTATIONS };
