/** Every policy that was ever live, by digest; and the disagreements of a policy on trial, found without reading the rest. */

import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.schema.raw(`
    create table policies (
      digest text collate "C" primary key,
      -- File name -> text.
      texts jsonb not null,
      first_seen_at timestamptz(3) not null default now()
    );

    alter table replicas add column policy_since timestamptz(3), add column policy_refused_at timestamptz(3);

    -- Only disagreements are in it, so it costs a decision nothing while nothing is on trial.
    create index decisions_by_shadow on decisions (shadow_policy, at) where shadow_policy is not null;
  `);
}

export async function down(knex: Knex): Promise<void> {
  await knex.schema.raw(`
    drop index decisions_by_shadow;
    alter table replicas drop column policy_since, drop column policy_refused_at;
    drop table policies;
  `);
}
