/** What changes leave behind: the events for auditors, the numbered feed for other processes, and ends of callers. */

import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.schema.raw(`
    create table admin_events (
      id uuid primary key,
      at timestamptz(3) not null,
      actor text collate "C" not null,
      action text collate "C" not null,
      subject_kind text collate "C" not null,
      subject_id text collate "C" not null,
      before jsonb,
      after jsonb,
      request_id text
    );
    create index admin_events_by_subject on admin_events (subject_kind, subject_id, id);

    -- One row, so that a number is taken and published in the order of the commits. A sequence would let a slow
    -- transaction's lower number appear after a reader has passed it.
    create table change_counter (last bigint not null, singleton boolean primary key default true check (singleton));
    insert into change_counter (last) values (0);

    create table changes (
      seq bigint not null,
      kind text collate "C" not null,
      id text collate "C" not null,
      digest bytea,
      primary key (seq, kind, id)
    );

    -- What tells two secrets under one id apart, and nothing else of them.
    create table peppers (id text collate "C" primary key, proof bytea not null);

    alter table callers add column expires_at timestamptz, add column rotated_from authz_id;
    create unique index api_keys_by_predecessor on api_keys (rotated_from) where rotated_from is not null;
    create unique index callers_by_predecessor on callers (rotated_from) where rotated_from is not null;
  `);
}

export async function down(knex: Knex): Promise<void> {
  await knex.schema.raw(`
    drop index callers_by_predecessor, api_keys_by_predecessor;
    alter table callers drop column expires_at, drop column rotated_from;
    drop table peppers, changes, change_counter, admin_events;
  `);
}
