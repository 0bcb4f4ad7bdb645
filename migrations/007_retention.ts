/** The days whose records were dropped: what was signed of each, so that the verification knows a pruned day from a lost one. */

import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.schema.raw(`
    create table pruned_days (
      day date primary key,
      at timestamptz(3) not null,
      records bigint not null check (records > 0),
      -- Over the heads of the day, which stay.
      root bytea not null check (octet_length(root) = 32),
      public_key bytea not null,
      signature bytea not null
    )`);
}

export async function down(knex: Knex): Promise<void> {
  await knex.schema.raw('drop table pruned_days');
}
