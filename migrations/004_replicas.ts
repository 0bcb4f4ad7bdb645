/** What keeps several processes current: when each number of the feed was taken, and how far each process has read it. */

import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.schema.raw(`
    -- Old rows are pruned by it, and it tells two histories apart in which a number means different changes: a restored
    -- backup counts on from where it was made.
    alter table changes add column at timestamptz not null default statement_timestamp();
    create index changes_by_at on changes (at);

    create table replicas (
      id text collate "C" primary key,
      started_at timestamptz not null default now(),
      seen_at timestamptz not null default now(),
      version text not null,
      policy_digest text,
      last_applied bigint
    );
  `);
}

export async function down(knex: Knex): Promise<void> {
  await knex.schema.raw('drop table replicas; alter table changes drop column at;');
}
