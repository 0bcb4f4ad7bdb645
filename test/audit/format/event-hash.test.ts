/** The hash of an event is the same in SQL, in TypeScript, and by the text of docs/audit.md. */

import { expect } from 'chai';
import fc from 'fast-check';
import type { Knex } from 'knex';
import { type EventRecord, eventHash } from '../../../src/audit/format/event-hash.ts';
import { connect } from '../../../src/db/connect.ts';
import { newDatabase, POSTGRES } from '../../support/postgres.ts';
import { hashOfEvent } from '../verify/independent.ts';

const text = fc.string({ unit: 'binary', maxLength: 40 }).map((value) => value.replaceAll('\0', ''));
const json = fc.option(fc.jsonValue({ maxDepth: 3 }).map((value) => JSON.stringify(value).replaceAll('\\u0000', '')));
const instant = fc
  .date({ min: new Date('1970-01-01'), max: new Date('2200-01-01'), noInvalidDate: true })
  .map((date) => date.toISOString());
const events = fc.record({
  seq: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
  id: fc.uuid(),
  at: instant,
  chained_at: instant,
  actor: text,
  login: text,
  action: text,
  subject_kind: text,
  subject_id: text,
  before: json,
  after: json,
  request_id: fc.option(text),
});

const SELECT = `
  select e.before::text, e.after::text, encode(authz_event_hash(decode(?, 'hex'), e), 'hex') as hash
  from jsonb_populate_record(null::admin_events, ?::jsonb) as e`;

for (const postgres of POSTGRES)
  describe(`the hash of an event, on ${postgres}`, () => {
    let db: Knex;
    before(async () => {
      db = connect({ url: await newDatabase(postgres), poolSize: 1 });
    });
    after(() => db?.destroy());

    it('is the same in SQL and in TypeScript, whatever the settings of the session', async () => {
      await db.raw(`set timezone = 'Asia/Kathmandu'; set datestyle = 'German'; set bytea_output = 'escape'`);
      await fc.assert(
        fc.asyncProperty(events, fc.uint8Array({ minLength: 32, maxLength: 32 }), async (event, bytes) => {
          const previous = Buffer.from(bytes);
          const parse = (value: string | null): unknown => (value === null ? null : JSON.parse(value));
          const row = { ...event, before: parse(event.before), after: parse(event.after) };
          // A JSON null would be read as no value.
          fc.pre((row.before !== null) === (event.before !== null) && (row.after !== null) === (event.after !== null));
          const { rows } = await db.raw(SELECT, [previous.toString('hex'), JSON.stringify(row)]);
          const [{ before, after, hash }] = rows as [{ before: string | null; after: string | null; hash: string }];
          const stored: EventRecord = { ...event, before, after };
          expect(eventHash(previous, stored).toString('hex')).to.equal(hash);
          expect(hashOfEvent(previous, { ...stored, seq: String(event.seq) }).toString('hex')).to.equal(hash);
        }),
        { numRuns: 200 },
      );
    });
  });
