/** The function that leaves the event of a read: what it adds, for whom, how often, and that it can do nothing else. */

import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import fc from 'fast-check';
import type { Knex } from 'knex';
import { connect } from '../../src/db/connect.ts';
import { mutate } from '../../src/db/mutate.ts';
import { authz } from '../support/cli.ts';
import { newDatabase, POSTGRES } from '../support/postgres.ts';
import { rejection } from '../support/rejection.ts';
import { createRoles, loginOf } from '../support/roles.ts';

const LIMIT = 60;
const ID = '019ac3f0-6f4e-7c1a-9d3e-0b6f5a1c2d3e';
const KINDS = ['query', 'stats', 'export', 'tail', 'findings', 'replay', 'shadow', 'admin'];

interface Read {
  readonly access: string | null;
  readonly decision: string | null;
  readonly asked: unknown;
  readonly stated: string | null;
  readonly request: string | null;
}
const READ: Read = { access: 'query', decision: null, asked: {}, stated: 'cli:ann', request: null };

for (const postgres of POSTGRES)
  describe(`the event of a read, on ${postgres}`, () => {
    let url: string;
    let owner: Knex;
    const opened: Knex[] = [];

    before(async () => {
      url = await newDatabase(postgres);
      owner = connect({ url, poolSize: 4 });
      await createRoles(owner);
    });
    after(async () => {
      for (const db of opened) await db.destroy();
      await owner?.destroy();
    });

    const login = async (role?: string, poolSize = 1): Promise<{ db: Knex; name: string; address: string }> => {
      const address = await loginOf(owner, url, role);
      const db = connect({ url: address, poolSize });
      opened.push(db);
      return { db, name: new URL(address).username, address };
    };
    const record = (db: Knex, read: Partial<Read> = {}): Promise<unknown> => {
      const { access, decision, asked, stated, request } = { ...READ, ...read };
      const bindings = [access, decision, asked === undefined ? null : JSON.stringify(asked), stated, request];
      return db.raw('select authz_record_read(?, ?::uuid, ?::jsonb, ?, ?)', bindings as string[]);
    };
    const refusalOf = async (db: Knex, read: Partial<Read>): Promise<unknown> =>
      ((await rejection(record(db, read))) as { code?: string }).code;
    const counted = async (): Promise<number> => (await owner('admin_events').select('id')).length;
    const eventsOf = (name: string) => owner('admin_events').where({ login: name }).orderBy('id');
    /** As if the login had left so many events in this minute. */
    const spent = (name: string, events: number): Promise<unknown> =>
      owner.raw(
        `insert into read_rates values (?, date_trunc('minute', clock_timestamp()), ?)
         on conflict (login) do update set minute = excluded.minute, events = excluded.events`,
        [name, events],
      );
    /** Runs `attempt` until no minute turned meanwhile, which would have begun a new count. */
    const withinAMinute = async <T>(attempt: () => Promise<T>): Promise<T> => {
      for (;;) {
        const minute = async () => (await owner.raw(`select date_trunc('minute', clock_timestamp()) as at`)).rows[0].at;
        const before = await minute();
        const result = await attempt();
        if (String(before) === String(await minute())) return result;
      }
    };

    it('has the time and the login that the database knows, and what the program states beside them', async () => {
      const { db, name } = await login('authz_auditor');
      const before = Date.now();
      await db.raw('set role authz_auditor');
      for (const access of KINDS)
        await record(db, { access, stated: 'cli:somebody else', request: 'r-1', asked: { a: 1 } });
      await record(db, { access: 'show', decision: ID, asked: undefined });
      const events = await eventsOf(name);
      expect(events.map(({ action, subject_kind, subject_id }) => [action, subject_kind, subject_id])).to.deep.equal([
        ...KINDS.map((access) => [`audit.${access}`, 'log', access === 'admin' ? 'admin_events' : 'decisions']),
        ['audit.show', 'decision', ID],
      ]);
      for (const { id, at, actor, after, before: was, request_id } of events.slice(0, -1)) {
        expect([actor, after, was, request_id]).to.deep.equal(['cli:somebody else', { a: 1 }, null, 'r-1']);
        expect(id).to.match(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
        expect(Number.parseInt(id.replace('-', '').slice(0, 12), 16)).to.equal(at.getTime());
        expect(at.getTime()).to.be.within(before - 1000, Date.now() + 1000);
      }
    });

    it('is of a fixed kind and a bounded size, whatever is asked of the function', async () => {
      const { db, name } = await login('authz_auditor');
      const text = (most: number) => fc.option(fc.string({ maxLength: most, unit: 'grapheme' }), { freq: 10 });
      const kinds = fc.oneof(
        fc.constantFrom('show', ...KINDS),
        fc.constantFrom(null, '', 'prune', 'key.revoke', 'Query'),
      );
      const reads = fc.record({
        access: fc.oneof({ weight: 3, arbitrary: fc.constantFrom('show', 'query', 'admin') }, kinds),
        decision: fc.constantFrom(null, ID),
        asked: fc.oneof(
          fc.dictionary(fc.string({ maxLength: 3 }), fc.string({ maxLength: 40 })),
          fc.constantFrom([], 7, 'x', { a: 'ä'.repeat(2040) }, { a: 'ä'.repeat(2100) }),
        ),
        stated: fc.oneof(text(20), fc.constantFrom('', 'a'.repeat(200), 'a'.repeat(201))),
        request: fc.oneof(text(20), fc.constantFrom('r'.repeat(128), 'r'.repeat(129))),
      });
      const lengthOf = (value: string | null): number => [...(value ?? '')].length;
      await fc.assert(
        fc.asyncProperty(reads, async (read) => {
          const whole = JSON.stringify(read);
          fc.pre(!whole.includes('\\u0000') && !/\\ud[89a-f]/.test(whole));
          await spent(name, 0);
          const before = await counted();
          const sound =
            ['show', ...KINDS].includes(read.access ?? '') &&
            (read.access === 'show') === (read.decision !== null) &&
            lengthOf(read.stated) >= 1 &&
            lengthOf(read.stated) <= 200 &&
            lengthOf(read.request) <= 128 &&
            typeof read.asked === 'object' &&
            !Array.isArray(read.asked) &&
            // As PostgreSQL prints it: with a space behind each comma and colon.
            Buffer.byteLength(JSON.stringify(read.asked)) + 2 * Object.keys(read.asked).length - 1 <= 4096;
          const outcome = sound ? await record(db, read) : await refusalOf(db, read);
          if (!sound) expect(outcome).to.be.oneOf(['22023', '54000']);
          expect((await counted()) - before).to.equal(sound ? 1 : 0);
        }),
        { numRuns: 200 },
      );
    });

    it('is left sixty times a minute by a login that may add no events itself, and then refused', async () => {
      const { db, name, address } = await login('authz_auditor', 5);
      const other = await login('authz_auditor');
      const service = await login('authz_service');
      await withinAMinute(async () => {
        await spent(name, LIMIT - 4);
        const before = (await eventsOf(name)).length;
        const outcomes = await Promise.allSettled(Array.from({ length: 20 }, () => record(db)));
        const refused = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason] : []));
        return { left: (await eventsOf(name)).length - before, refused };
      }).then(({ left, refused }) => {
        expect([left, refused.length]).to.deep.equal([4, 16]);
        for (const { code, detail } of refused) {
          expect(code).to.equal('AU020');
          expect(Number(detail)).to.be.within(1, 60);
        }
      });
      const run = await withinAMinute(async () => {
        await spent(name, LIMIT);
        return authz(['audit', 'admin'], { DATABASE_URL: address });
      });
      expect([run.code, run.stdout]).to.deep.equal([1, '']);
      expect(run.stderr).to.match(
        new RegExp(`^authz: The login ${name} has read the log 60 times in this minute, .* Ask again in \\d+ s`),
      );
      // No other login is in its way, nor is the next minute; and who can add events anyway has no bound here.
      await record(other.db);
      await owner('read_rates')
        .where({ login: name })
        .update({ minute: new Date(Date.now() - 120_000), events: LIMIT });
      await record(db);
      for (let time = 0; time <= LIMIT; time += 1) await record(service.db);
      expect(await owner('read_rates').where({ login: service.name })).to.deep.equal([]);
    });

    it('is counted by one session of a login after the other', async () => {
      const { db, name } = await login('authz_auditor', 2);
      const waiting = `select from pg_stat_activity where usename = ? and wait_event_type = 'Lock'`;
      const code = await withinAMinute(async () => {
        await spent(name, LIMIT - 1);
        const first = await db.transaction();
        await record(first);
        const second = refusalOf(db, {}).catch(() => 'left');
        while ((await owner.raw(waiting, [name])).rows.length === 0) await sleep(20);
        await first.commit();
        return second;
      });
      expect(code).to.equal('AU020');
    });

    it('holds up nobody, however long its transaction is left open', async () => {
      const { db } = await login('authz_auditor');
      const other = await login('authz_auditor');
      const trx = await db.transaction();
      try {
        await record(trx as Knex);
        await mutate(owner, { id: 'test' }, async (changing) => {
          await changing.raw(`set local lock_timeout = '5s'`);
          await changing('users').insert({ id: 'ann' });
          return {
            result: undefined,
            events: [{ action: 'user.create', kind: 'user', id: 'ann' }],
            changes: [{ kind: 'user', id: 'ann' }],
          };
        });
        await other.db.transaction(async (reading) => {
          await reading.raw(`set local lock_timeout = '5s'`);
          await record(reading);
        });
      } finally {
        await trx.rollback();
      }
    });

    it('cannot be left by who is no auditor', async () => {
      const { db } = await login();
      expect(await refusalOf(db, {})).to.equal('42501');
      for (const [sql, value] of [
        ['select authz_find_keys(?)', []],
        ['select authz_pepper_faults(?, ?)', []],
      ] as const)
        expect(
          (
            (await rejection(
              db.raw(
                sql,
                sql
                  .split('?')
                  .slice(1)
                  .map(() => value) as never,
              ),
            )) as { code?: string }
          ).code,
        ).to.equal('42501');
    });

    it('auditors see no digest, and not what it was made under', async () => {
      const { rows } = await owner.raw(`
        select distinct attname::text as name from pg_attribute join pg_class c on c.oid = attrelid
        where relnamespace = 'public'::regnamespace and attnum > 0 and has_column_privilege('authz_auditor', c.oid, attnum, 'select')`);
      const seen = rows.map(({ name }: { name: string }) => name);
      expect(seen).to.include.members(['friendly_name', 'hint', 'scopes', 'role', 'facts', 'texts']);
      expect(seen.filter((name: string) => /digest|pepper|proof|secret/.test(name))).to.have.members([
        // Of personal data, salted; and of policies.
        'personal_digest',
        'policy_digest',
        'digest',
      ]);
      const holders = await owner.raw(`
        select c.relname::text as name from pg_attribute join pg_class c on c.oid = attrelid
        where relnamespace = 'public'::regnamespace and attname = 'digest' and has_column_privilege('authz_auditor', c.oid, attnum, 'select')
          and relkind in ('r', 'p', 'v')`);
      // Both name by their digest what auditors may read.
      expect(holders.rows).to.have.deep.members([{ name: 'policies' }, { name: 'situations' }]);
    });
  });
