/** What a superuser can do to the events of administration: every kind of it, and where `verify` must find it. */

import type { Knex } from 'knex';
import { ADMINISTRATION } from '../../../src/audit/format/heads.ts';
import type { WrittenEvent } from '../written-events.ts';
import type { Draw, Place } from './mutations.ts';

export interface EventTarget {
  readonly db: Knex;
  /** Those of the chain, in their order; all of them covered by a checkpoint outside the database. */
  readonly events: readonly WrittenEvent[];
}

export type EventMutation = (target: EventTarget, draw: Draw) => Promise<Place & { readonly id?: string }>;

const at = (seq: number): Place => ({ ...ADMINISTRATION, seq });

const pick = (events: readonly WrittenEvent[], draw: Draw): WrittenEvent => {
  const event = events[draw(events.length)];
  if (event === undefined) throw new Error('there is nothing to pick');
  return event;
};

/** Sets columns to what SQL makes of the row. */
const edit =
  (set: string, which: (event: WrittenEvent) => boolean = () => true): EventMutation =>
  async ({ db, events }, draw) => {
    const { id, seq } = pick(events.filter(which), draw);
    await db.raw(`update admin_events set ${set} where id = ?`, [id]);
    return at(Number(seq));
  };

const isChange = ({ action }: WrittenEvent): boolean => action === 'user.update';

/** Hashes the events from the number `from` on anew, each with the one before, and sets the head to the last. */
const rehash = async (db: Knex, from: number): Promise<void> =>
  void (await db.raw(
    `do $$ declare event admin_events; previous bytea; begin
      select hash into previous from admin_events where seq = ${from - 1};
      previous := coalesce(previous, decode(repeat('00', 32), 'hex'));
      for event in select * from admin_events where seq >= ${from} order by seq loop
        previous := authz_event_hash(previous, event);
        update admin_events set hash = previous where id = event.id;
        update change_counter set events = event.seq, events_hash = previous;
      end loop;
    end $$`,
  ));

/** A copy of the last event, as the next one: with a hash that fits, and the head behind it. */
const append =
  (set: string, place: Place): EventMutation =>
  async ({ db, events }) => {
    const last = events.at(-1);
    await db.raw(
      `insert into admin_events select (jsonb_populate_record(e, jsonb_build_object('seq', e.seq + 1, 'actor', 'mallory', ${set}))).*
       from admin_events e where id = ?`,
      [last?.id ?? ''],
    );
    await rehash(db, events.length + 1);
    return { ...ADMINISTRATION, seq: events.length + 1, ...place };
  };

/** Runs SQL, and says the place. */
const run =
  (sql: string, place: (events: readonly WrittenEvent[]) => Place): EventMutation =>
  async ({ db, events }) => {
    await db.raw(sql);
    return place(events);
  };

const setBack = (db: Knex, keep: number): Promise<unknown> =>
  db.raw(
    `update change_counter set events = ${keep},
       events_hash = coalesce((select hash from admin_events where seq = ${keep}), decode(repeat('00', 32), 'hex'))`,
  );

const OLD_ID = `'id', authz_event_id(1600000000000000)`;
const OLD = `'2020-09-13T12:26:40Z'`;

export const EVENT_MUTATIONS: readonly (readonly [string, EventMutation])[] = [
  ...['actor', 'login', 'action', 'subject_kind', 'subject_id'].map((column): [string, EventMutation] => [
    `edit ${column}`,
    edit(`${column} = 'x' || ${column}`),
  ]),
  ['edit request_id', edit(`request_id = coalesce(request_id || 'x', 'x')`)],
  ['clear before', edit('before = null', isChange)],
  ['edit before', edit(`before = jsonb_set(before, '{id}', '"mallory"')`, isChange)],
  ['edit a digit of before', edit(`before = jsonb_set(before, '{n}', '0.10000000000000000000000001')`, isChange)],
  ['edit after', edit(`after = coalesce(after, '{}') || '{"more": null}'`)],
  ['edit at', edit(`at = at + interval '1 ms'`)],
  ['edit chained_at', edit(`chained_at = chained_at - interval '1 ms'`)],
  ['edit id', edit(`id = (left(id::text, 35) || case right(id::text, 1) when '0' then '1' else '0' end)::uuid`)],
  ['edit hash', edit('hash = sha256(hash)')],
  ['edit seq', edit('seq = seq + 1000')],
  ['negate seq', edit('seq = -seq')],
  ['take the place away', edit('seq = null, chained_at = null, hash = null')],
  [
    'delete an event',
    async ({ db, events }, draw) => {
      const { id, seq } = pick(events, draw);
      await db('admin_events').where({ id }).delete();
      return at(Number(seq));
    },
  ],
  [
    'delete some events in a row',
    async ({ db, events }, draw) => {
      const first = 1 + draw(events.length);
      await db('admin_events')
        .whereBetween('seq', [first, first + draw(4)])
        .delete();
      return at(first);
    },
  ],
  [
    'delete an event, and close the gap',
    async ({ db, events }, draw) => {
      const seq = 1 + draw(events.length - 1);
      await db('admin_events').where({ seq }).delete();
      for (const next of events.slice(seq))
        await db('admin_events')
          .where({ id: next.id })
          .update({ seq: Number(next.seq) - 1 });
      return at(seq);
    },
  ],
  [
    'delete all events of somebody, and hash the others anew',
    async ({ db, events }, draw) => {
      const seq = 1 + draw(events.length);
      await db('admin_events').where({ seq }).delete();
      for (const next of events.slice(seq))
        await db('admin_events')
          .where({ id: next.id })
          .update({ seq: Number(next.seq) - 1 });
      if (seq === events.length) await setBack(db, seq - 1);
      else await rehash(db, seq);
      return { ...ADMINISTRATION };
    },
  ],
  ['delete all events', run('delete from admin_events', () => at(1))],
  [
    'delete all events, with the head',
    async ({ db }) => {
      await db('admin_events').delete();
      await setBack(db, 0);
      return at(1);
    },
  ],
  [
    'swap two events',
    async ({ db, events }, draw) => {
      const first = 1 + draw(events.length - 1);
      const second = first + 1 + draw(events.length - first);
      await db.raw(
        `update admin_events set seq = -seq where seq in (${first}, ${second});
         update admin_events set seq = case -seq when ${first} then ${second} else ${first} end where seq < 0`,
      );
      return at(first);
    },
  ],
  [
    'swap what two events say',
    async ({ db, events }, draw) => {
      const changes = events.filter(isChange);
      const first = draw(changes.length - 1);
      const [a, b] = [changes[first], changes[first + 1 + draw(changes.length - first - 1)]];
      await db.raw(
        `update admin_events e set subject_id = o.subject_id, before = o.before, after = o.after
         from admin_events o where e.id <> o.id and e.id in (:a, :b) and o.id in (:a, :b)`,
        { a: a?.id ?? '', b: b?.id ?? '' },
      );
      return at(Number(a?.seq));
    },
  ],
  [
    'insert an event among the others',
    async ({ db, events }, draw) => {
      const seq = 1 + draw(events.length);
      for (const next of events.slice(seq - 1).toReversed())
        await db('admin_events')
          .where({ id: next.id })
          .update({ seq: Number(next.seq) + 1 });
      await db.raw(
        `insert into admin_events select (jsonb_populate_record(e, jsonb_build_object('seq', ${seq}, 'id', gen_random_uuid(), 'actor', 'mallory'))).*
         from admin_events e where id = ?`,
        [events[seq - 1]?.id ?? ''],
      );
      return at(seq);
    },
  ],
  [
    'insert an event outside of the chain',
    async ({ db }) => {
      const { rows } = await db.raw(
        `insert into admin_events (id, at, actor, action, subject_kind, subject_id)
         values (gen_random_uuid(), now(), 'mallory', 'key.revoke', 'key', 'k') returning id`,
      );
      return { ...ADMINISTRATION, code: 'inserted', id: rows[0].id };
    },
  ],
  [
    'append a forged event that fits',
    async ({ db, events }) => {
      await append(`'id', gen_random_uuid()`, {})({ db, events }, () => 0);
      await setBack(db, events.length);
      return at(events.length + 1);
    },
  ],
  [
    'append an event of an earlier day, with the head',
    append(`${OLD_ID}, 'at', ${OLD}, 'chained_at', ${OLD}`, { code: 'backdated' }),
  ],
  [
    'append an event that says an earlier day, with the head',
    append(`'action', 'key.revoke', ${OLD_ID}, 'at', ${OLD}`, { code: 'altered' }),
  ],
  [
    'truncate the tail',
    async ({ db, events }, draw) => {
      const keep = draw(events.length);
      await db('admin_events').where('seq', '>', keep).delete();
      return at(keep + 1);
    },
  ],
  [
    'truncate the tail, and set the head back',
    async ({ db, events }, draw) => {
      const keep = 1 + draw(events.length - 1);
      await db('admin_events').where('seq', '>', keep).delete();
      await setBack(db, keep);
      return at(keep + 1);
    },
  ],
  [
    'rewrite a tail with hashes that follow',
    async ({ db, events }, draw) => {
      const seq = 1 + draw(events.length);
      await db.raw(`update admin_events set actor = 'mallory' where seq = ${seq}`);
      await rehash(db, seq);
      return { ...ADMINISTRATION, code: 'rewritten' };
    },
  ],
  [
    'restore an older copy of everything',
    async ({ db, events }) => {
      for (const table of ['admin_events', 'change_counter'])
        await db.raw(`truncate ${table}; insert into ${table} select * from older.${table}`);
      const { rows } = await db.raw('select events from change_counter');
      return at(Math.min(events.length, Number(rows[0].events) + 1));
    },
  ],
  ['count the head up', run('update change_counter set events = events + 1', ({ length }) => at(length + 1))],
  ['count the head down', run('update change_counter set events = events - 1', ({ length }) => at(length))],
  [
    'edit the hash of the head',
    run('update change_counter set events_hash = sha256(events_hash)', ({ length }) => at(length)),
  ],
  ['edit a record of a read', edit(`after = '{"effect": "allow"}'`, ({ action }) => action === 'audit.query')],
];
