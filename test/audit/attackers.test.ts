/** The table of docs/audit.md, "Who could do what to it, and who would see": each of its cells is what comes of the attempts of that attacker. */

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
import { createHeads, HEAD_COLUMNS, type Head } from '../../src/audit/format/heads.ts';
import { loadSigner, makeSigningKey, type Signer } from '../../src/audit/format/signatures.ts';
import { newChain, numberBatch, sendBatch } from '../../src/audit/record/batch.ts';
import { verifyLog } from '../../src/audit/verify/verify.ts';
import { connect } from '../../src/db/connect.ts';
import { createLog } from '../../src/log.ts';
import { ROOT } from '../support/cli.ts';
import { type DatabaseClock, databaseClock } from '../support/database-clock.ts';
import { newDatabase, POSTGRES } from '../support/postgres.ts';
import { createRoles, loginOf } from '../support/roles.ts';
import { entry } from './entries.ts';
import { MUTATIONS, type Mutation, type Place } from './verify/mutations.ts';
import { createWriter, makeDays, type WrittenRecord } from './written-log.ts';

const PAGE = readFileSync(path.join(ROOT, 'docs', 'audit.md'), 'utf8');
const ROWS = PAGE.slice(PAGE.indexOf('| attacker |'), PAGE.indexOf('What is done:'))
  .split('\n')
  .filter((line) => line.startsWith('| '))
  .map((line) => line.split('|').map((cell) => cell.trim()));
const [[, , ...DEEDS] = [], , ...ATTACKERS] = [ROWS[0], ...ROWS];

/** What can come of an attempt, from the best to the worst. */
const OUTCOMES = ['prevented', 'located', 'found', 'not'] as const;
type Outcome = (typeof OUTCOMES)[number];

/** No right; another's chain; a time, a number or a state that a function refuses. */
const REFUSALS = ['42501', 'AU001', '23514', '23000', 'P0001'];
const TABLES = ['decisions', 'chain_heads', 'checkpoints'];
const DAY_MS = 86_400_000;

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
    const { rows } = await db.raw<{ rows: Head[] }>(`select ${HEAD_COLUMNS} from chain_heads`);
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

const ATTEMPTS: Readonly<Record<string, readonly Mutation[]>> = {
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

for (const postgres of POSTGRES)
  describe(`the attackers of the table of docs/audit.md, on ${postgres}`, () => {
    let db: Knex;
    let clock: DatabaseClock;
    let folder: string;
    let file: string;
    let signer: Signer;
    let records: WrittenRecord[];
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
          await loop.make();
        }
      }
      records.sort((a, b) => (a.day + a.boot).localeCompare(b.day + b.boot) || a.seq - b.seq);
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
         where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and relname ~ '^(decisions|chain_heads|checkpoints)'`,
      );
      for (const { name } of rows) await db.raw(`alter table ${name} owner to ${owning}`);
      await db.raw(`grant execute on function authz_record, authz_append_checkpoint to ${owning}`);
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
        place = await attempt({ db: login, records, checkpoints }, draw);
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

    it('are those of the table, and do all that it says', () => {
      expect(DEEDS.filter((deed) => deed !== '')).to.have.members(Object.keys(ATTEMPTS));
      const names = ATTACKERS.map(([, name]) => name);
      expect(names.filter((name) => name !== 'a superuser with the signing key and the file')).to.have.members([
        ...logins.keys(),
      ]);
    });

    for (const [, attacker = '', ...cells] of ATTACKERS) {
      if (attacker === 'a superuser with the signing key and the file') continue;
      it(`${attacker} gets no further`, async () => {
        const came: Record<string, Outcome> = {};
        for (const [deed, attempts] of Object.entries(ATTEMPTS)) {
          const own = deed === 'checkpoint' && attacker === 'all credentials of one replica';
          for (const attempt of [...attempts, ...(own ? [appendForged(async () => signer)] : [])]) {
            const outcome = await outcomeOf(attacker, attempt);
            await restore();
            const worst = Math.max(OUTCOMES.indexOf(outcome), OUTCOMES.indexOf(came[deed] ?? 'prevented'));
            came[deed] = OUTCOMES[worst] ?? 'not';
          }
        }
        expect(came).to.deep.equal(
          Object.fromEntries(DEEDS.map((deed, index) => [deed, cells[index] ?? '']).filter(([deed]) => deed !== '')),
        );
      }).timeout(300_000);
    }

    it('a superuser with the signing key and the file can put any other log in the place of this one', async () => {
      const cells = ATTACKERS.find(([, name]) => name === 'a superuser with the signing key and the file')?.slice(2);
      expect(new Set(cells?.filter((cell) => cell !== ''))).to.deep.equal(new Set(['not']));
      await db.raw(`truncate ${TABLES}`);
      await writeFile(file, '');
      const loop = checkpointsBy(db, file);
      const writer = createWriter(db);
      for (const day of await makeDays(db, 2)) {
        await clock.stopAt(`${day}T00:01:00Z`);
        await writer.append(day, 2, { user_id: 'mallory' });
        await loop.make();
      }
      await clock.shiftBy(0);
      const report = await verifyLog(db, { files: [file], publicKeys: new Set([signer.publicKey]) });
      expect(report).to.deep.include({ clean: true, records: 6, uncovered: 0 });
    });
  });
