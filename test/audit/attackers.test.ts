/** The tables of docs/audit.md, "Who could do what to it, and who would see": each cell is what comes of the attempts of that attacker. */

import { randomBytes, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import type { Knex } from 'knex';
import { v7 as uuidv7 } from 'uuid';
import { createCheckpoints } from '../../src/audit/checkpoint/loop.ts';
import { signedBytes } from '../../src/audit/format/checkpoint-line.ts';
import { ADMINISTRATION, ALL_HEADS, createHeads, HEAD_COLUMNS, type Head } from '../../src/audit/format/heads.ts';
import { loadSigner, makeSigningKey, type Signer } from '../../src/audit/format/signatures.ts';
import { newChain, numberBatch, sendBatch } from '../../src/audit/record/batch.ts';
import { verifyLog } from '../../src/audit/verify/verify.ts';
import { connect } from '../../src/db/connect.ts';
import { mutate } from '../../src/db/mutate.ts';
import { createLog } from '../../src/log.ts';
import { ROOT } from '../support/cli.ts';
import { type DatabaseClock, databaseClock } from '../support/database-clock.ts';
import { newDatabase, POSTGRES } from '../support/postgres.ts';
import { createRoles, loginOf } from '../support/roles.ts';
import { entry } from './entries.ts';
import { EVENT_MUTATIONS, type EventTarget } from './verify/event-mutations.ts';
import { type Draw, MUTATIONS, type Place, type Mutation as RecordMutation, type Target } from './verify/mutations.ts';
import { appendEvents, chainedEvents, type WrittenEvent } from './written-events.ts';
import { createWriter, makeDays, type WrittenRecord } from './written-log.ts';

const PAGE = readFileSync(path.join(ROOT, 'docs', 'audit.md'), 'utf8');
const rowsBetween = (start: string, end: string): string[][] => {
  const part = PAGE.slice(PAGE.indexOf(start));
  return part
    .slice(0, part.indexOf(end))
    .split('\n')
    .filter((line) => line.startsWith('| '))
    .map((line) => line.split('|').map((cell) => cell.trim()));
};

/** What can come of an attempt, from the best to the worst. */
const OUTCOMES = ['prevented', 'located', 'found', 'not'] as const;
type Outcome = (typeof OUTCOMES)[number];

/** No right; another's chain; a time, a number or a state that a function refuses. */
const REFUSALS = ['42501', 'AU001', '23514', '23000', 'P0001'];
const TABLES = ['decision_records', 'situations', 'chain_heads', 'checkpoints', 'admin_events', 'change_counter'];
const DAY_MS = 86_400_000;

type Mutation = (target: Target & EventTarget, draw: Draw) => ReturnType<RecordMutation>;

const named = (...names: readonly string[]): Mutation[] =>
  names.map((name) => {
    const found = MUTATIONS.find(([known]) => known === name)?.[1];
    if (found === undefined) throw new Error(`there is no mutation ${name}`);
    return found;
  });

const record =
  (ms: number): Mutation =>
  async ({ db }) => {
    const batch = numberBatch(newChain(), [entry({ id: uuidv7({ msecs: Date.now() + ms }) })]);
    await sendBatch(db, batch, () => undefined);
    return { boot: batch.chain.boot };
  };

/** The next record of a chain, as its process would write it, but for the secret. */
const recordInto: Mutation = async ({ db, records }) => {
  const last = records.at(-1) as WrittenRecord;
  const hash = Buffer.from(last.hash, 'hex');
  const head = { opening: hash, records: last.seq, hash };
  const chain = { ...newChain(), boot: last.boot, last: hash, heads: new Map([[last.day, head]]) };
  await sendBatch(db, numberBatch(chain, [entry()]), () => undefined);
  return {};
};

/** By way of the function, over heads of which one has records that there are not. */
const appendForged =
  (signerOf: () => Promise<Signer>): Mutation =>
  async ({ db, checkpoints }) => {
    const signer = await signerOf();
    const { rows } = await db.raw<{ rows: Head[] }>(`select ${HEAD_COLUMNS} from ${ALL_HEADS}`);
    const heads = rows.map((head, index) => ({ ...head, records: head.records + (index === 0 ? 1000 : 0) }));
    const set = createHeads();
    set.put(heads);
    const number = checkpoints + 1;
    const at = new Date(Date.now() - 1000).toISOString();
    const unsigned = { number, at, writer: randomUUID(), size: heads.length, root: set.root(), previous: null };
    await db.raw(
      `select authz_append_checkpoint(?, ?, ?, ?, decode(?, 'hex'), ?, decode(?, 'base64'), decode(?, 'base64'))`,
      [
        number,
        at,
        unsigned.writer,
        unsigned.size,
        unsigned.root,
        JSON.stringify(heads),
        signer.publicKey,
        signer.sign(signedBytes(unsigned)),
      ],
    );
    return { checkpoint: number };
  };

const ON_DECISIONS: Readonly<Record<string, readonly Mutation[]>> = {
  insert: [...named('insert a record under a number that is taken', 'insert a chain of its own'), recordInto],
  add: [record(0)],
  edit: named('edit effect', 'edit facts', 'edit hash', 'edit user_agent', 'clear user_id'),
  delete: named('delete a record', 'delete some records in a row'),
  reorder: named('swap two records'),
  backdate: [...named('insert a chain of an earlier day, with its head'), record(-2 * DAY_MS), record(-150_000)],
  truncate: named('truncate the tail', 'truncate the tail and set the head back', 'remove a chain with its head'),
  head: named('edit the opening of a head', 'edit the hash of a head', 'count a head up', 'edit the day of a head'),
  checkpoint: [
    ...named('edit the root of a checkpoint', 'edit the time of a checkpoint', 'delete a checkpoint'),
    ...named('sign a checkpoint with a key of one’s own', 'insert a checkpoint at the end of all numbers'),
    appendForged(() => loadSigner(makeSigningKey())),
  ],
};

const eventsNamed = (...names: readonly string[]): Mutation[] =>
  names.map((name) => {
    const found = EVENT_MUTATIONS.find(([known]) => known === name)?.[1];
    if (found === undefined) throw new Error(`there is no mutation ${name}`);
    return found;
  });

const changeOf =
  (kind: 'user' | 'key'): Mutation =>
  async ({ db, events }) => {
    const event = { action: `${kind}.delete`, kind, id: 'mallory' };
    await mutate(db, { id: 'cli:ann' }, async () => ({ result: undefined, events: [event], changes: [] })).catch(
      ({ cause }) => {
        throw cause;
      },
    );
    return { ...ADMINISTRATION, seq: events.length + 1 };
  };

const ON_EVENTS: Readonly<Record<string, readonly Mutation[]>> = {
  insert: eventsNamed(
    'insert an event among the others',
    'insert an event outside of the chain',
    'append a forged event that fits',
  ),
  add: [changeOf('user'), changeOf('key')],
  edit: eventsNamed('edit actor', 'edit login', 'edit after', 'edit hash', 'rewrite a tail with hashes that follow'),
  delete: eventsNamed(
    'delete an event',
    'delete some events in a row',
    'delete all events of somebody, and hash the others anew',
    'take the place away',
  ),
  reorder: eventsNamed('swap two events', 'swap what two events say'),
  backdate: eventsNamed(
    'append an event of an earlier day, with the head',
    'append an event that says an earlier day, with the head',
  ),
  truncate: eventsNamed(
    'truncate the tail',
    'truncate the tail, and set the head back',
    'delete all events, with the head',
  ),
  head: eventsNamed('count the head up', 'count the head down', 'edit the hash of the head'),
};

const LOGS = [
  { of: 'decisions', rows: rowsBetween('| attacker |', 'What is done:'), attempts: ON_DECISIONS },
  {
    of: 'events of administration',
    rows: rowsBetween('The same for the events', 'Here *inserted*'),
    attempts: ON_EVENTS,
  },
].map(({ rows: [heading = [], ...attackers], ...log }) => ({ ...log, deeds: heading.slice(2, -1), attackers }));
const ALL_POWERFUL = 'a superuser with the signing key and the file';

for (const postgres of POSTGRES)
  describe(`the attackers of the tables of docs/audit.md, on ${postgres}`, () => {
    let db: Knex;
    let clock: DatabaseClock;
    let folder: string;
    let file: string;
    let signer: Signer;
    let records: WrittenRecord[];
    let events: WrittenEvent[];
    let checkpoints: number;
    const logins = new Map<string, Knex>();

    const checkpointsBy = (using: Knex, to: string) =>
      createCheckpoints({
        db: using,
        log: createLog('silent'),
        writer: randomUUID(),
        signer,
        file: to,
        seconds: 86_400,
      });

    before(async () => {
      const url = await newDatabase(postgres);
      db = connect({ url, poolSize: 2 });
      clock = await databaseClock(db);
      await createRoles(db);
      folder = await mkdtemp(path.join(tmpdir(), 'authz-test-'));
      file = path.join(folder, 'checkpoints.jsonl');
      signer = await loadSigner(makeSigningKey());
      const loop = checkpointsBy(db, file);
      const writers = [createWriter(db), createWriter(db)];
      records = [];
      for (const day of await makeDays(db, 2)) {
        await clock.stopAt(`${day}T00:01:00Z`);
        for (const count of [3, 4]) {
          for (const writer of writers) records.push(...(await writer.append(day, count)));
          await appendEvents(db, count);
          await loop.make();
        }
      }
      records.sort((a, b) => (a.day + a.boot).localeCompare(b.day + b.boot) || a.seq - b.seq);
      events = await chainedEvents(db);
      checkpoints = (await db('checkpoints')).length;
      await clock.shiftBy(0);
      await db.raw('create schema whole');
      for (const table of TABLES) await db.raw(`create table whole.${table} as table public.${table}`);

      const login = async (role?: string): Promise<Knex> => connect({ url: await loginOf(db, url, role), poolSize: 1 });
      logins.set('the role of the service', await login('authz_service'));
      logins.set('all credentials of one replica', await login('authz_service'));
      logins.set('an auditor', await login('authz_auditor'));
      const owning = `owner_${randomBytes(4).toString('hex')}`;
      await db.raw(`create role ${owning}; grant create, usage on schema public to ${owning}`);
      logins.set('the owner of the tables', await login(owning));
      const { rows } = await db.raw(
        `select oid::regclass::text as name from pg_class
         where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and relname ~ '^(decisions_|decision_records|situations|chain_heads|checkpoints|admin_events|change_counter)'`,
      );
      for (const { name } of rows) await db.raw(`alter table ${name} owner to ${owning}`);
      await db.raw(
        `grant execute on function authz_append_checkpoint, authz_record_change, authz_event_hash, authz_field, authz_event_id to ${owning}`,
      );
      for (const name of ['a superuser of the database', 'a superuser with the signing key']) logins.set(name, db);
    });
    after(async () => {
      for (const login of new Set([...logins.values(), db])) await login?.destroy();
      await rm(folder, { recursive: true, force: true });
    });

    let draws = 7;
    const draw = (limit: number): number => {
      draws = (draws * 16_807) % 2_147_483_647;
      return draws % limit;
    };

    const outcomeOf = async (attacker: string, attempt: Mutation): Promise<Outcome> => {
      const login = logins.get(attacker);
      if (login === undefined) throw new Error(`there is no attacker ${attacker}`);
      let place: Place;
      try {
        place = await attempt({ db: login, records, checkpoints, events }, draw);
      } catch (error) {
        expect((error as { code?: string }).code, String(error)).to.be.oneOf(REFUSALS);
        return 'prevented';
      }
      if (attacker === 'a superuser with the signing key') await signOverIt(login);
      const report = await verifyLog(db, { files: [file], publicKeys: new Set([signer.publicKey]) });
      const located = report.findings.some((finding) =>
        Object.entries(place).every(([key, value]) => finding[key as keyof Place] === value),
      );
      return report.clean ? 'not' : located ? 'located' : 'found';
    };

    /** Signs the heads as they are now, as if on an earlier day, for the table alone. */
    const signOverIt = async (using: Knex): Promise<void> => {
      await clock.stopAt(`${records[0]?.day}T00:00:01Z`);
      await checkpointsBy(using, path.join(folder, randomUUID())).make();
      await clock.shiftBy(0);
    };

    const restore = async (): Promise<void> => {
      for (const table of TABLES) await db.raw(`truncate ${table}; insert into ${table} select * from whole.${table}`);
    };

    it('are those of the tables, and do all that these say', () => {
      for (const { deeds, attempts, attackers } of LOGS) {
        expect(deeds).to.have.members(Object.keys(attempts));
        const names = attackers.map(([, name]) => name);
        expect(names).to.have.members([...logins.keys(), ALL_POWERFUL]);
      }
    });

    for (const { of, deeds, attempts, attackers } of LOGS)
      for (const [, attacker = '', ...cells] of attackers) {
        if (attacker === ALL_POWERFUL) continue;
        it(`${attacker} gets no further with ${of}`, async () => {
          const came: Record<string, Outcome> = {};
          for (const [deed, list] of Object.entries(attempts)) {
            const own = deed === 'checkpoint' && attacker === 'all credentials of one replica';
            for (const attempt of [...list, ...(own ? [appendForged(async () => signer)] : [])]) {
              const outcome = await outcomeOf(attacker, attempt);
              await restore();
              const worst = Math.max(OUTCOMES.indexOf(outcome), OUTCOMES.indexOf(came[deed] ?? 'prevented'));
              came[deed] = OUTCOMES[worst] ?? 'not';
            }
          }
          expect(came).to.deep.equal(Object.fromEntries(deeds.map((deed, index) => [deed, cells[index]])));
        }).timeout(300_000);
      }

    it('a superuser with the signing key and the file can put any other log in the place of this one', async () => {
      for (const { attackers } of LOGS) {
        const cells = attackers.find(([, name]) => name === ALL_POWERFUL)?.slice(2, -1);
        expect(new Set(cells)).to.deep.equal(new Set(['not']));
      }
      await db.raw(`truncate ${TABLES}; insert into change_counter (last) values (0)`);
      await writeFile(file, '');
      const loop = checkpointsBy(db, file);
      const writer = createWriter(db);
      for (const day of await makeDays(db, 2)) {
        await clock.stopAt(`${day}T00:01:00Z`);
        await writer.append(day, 2, { user_id: 'mallory' });
        await appendEvents(db, 1);
        await loop.make();
      }
      await clock.shiftBy(0);
      const report = await verifyLog(db, { files: [file], publicKeys: new Set([signer.publicKey]) });
      expect(report).to.deep.include({ clean: true, records: 6, uncovered: 0 });
    });
  });
