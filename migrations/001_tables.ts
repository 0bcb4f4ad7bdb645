/**
 * The directory, the keys, the callers and the decisions.
 *
 * Text that is compared or sorted is COLLATE "C": byte by byte, as the contract says of ids, whatever the database's
 * locale. Values are checked here as well as at the door, so that another writer cannot store what we would not read.
 */

import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.schema.raw(`
    create domain authz_id as text collate "C" check (value ~ '^[A-Za-z0-9._:-]{1,64}$');

    create table users (
      id authz_id primary key,
      disabled_at timestamptz,
      disabled_reason text,
      businesses_disabled_at timestamptz,
      rate_limit_requests integer check (rate_limit_requests > 0),
      rate_limit_window_seconds integer check (rate_limit_window_seconds between 1 and 86400),
      created_at timestamptz not null default now(),
      check (disabled_reason is null or disabled_at is not null),
      check ((rate_limit_requests is null) = (rate_limit_window_seconds is null))
    );

    create table businesses (
      id authz_id primary key,
      disabled_at timestamptz,
      disabled_reason text,
      created_at timestamptz not null default now(),
      check (disabled_reason is null or disabled_at is not null)
    );

    create table business_members (
      business_id authz_id not null references businesses on delete cascade,
      user_id authz_id not null references users on delete cascade,
      role text not null check (role in ('owner', 'member')),
      primary key (business_id, user_id)
    );
    create index business_members_by_user on business_members (user_id);

    create table api_keys (
      id authz_id primary key,
      user_id authz_id not null references users on delete cascade,
      friendly_name text not null,
      digest bytea not null unique check (octet_length(digest) = 32),
      pepper_id text not null,
      hint text not null,
      allow_user_management boolean not null,
      restricted boolean not null,
      environment text collate "C" not null check (environment ~ '^[a-z0-9-]{1,32}$'),
      rate_limit_requests integer check (rate_limit_requests > 0),
      rate_limit_window_seconds integer check (rate_limit_window_seconds between 1 and 86400),
      created_at timestamptz not null default now(),
      expires_at timestamptz,
      revoked_at timestamptz,
      revoked_reason text,
      rotated_from authz_id,
      last_used_at timestamptz,
      version bigint not null default 1,
      check (revoked_reason is null or revoked_at is not null),
      check ((rate_limit_requests is null) = (rate_limit_window_seconds is null))
    );
    create index api_keys_by_user on api_keys (user_id, id);

    create table api_key_businesses (
      key_id authz_id not null references api_keys on delete cascade,
      business_id authz_id not null references businesses on delete cascade,
      primary key (key_id, business_id)
    );
    create index api_key_businesses_by_business on api_key_businesses (business_id);

    create table callers (
      id authz_id primary key,
      name text not null,
      digest bytea not null unique check (octet_length(digest) = 32),
      pepper_id text not null,
      scopes text[] not null check (scopes <@ array['authorize', 'keys', 'directory', 'audit', 'policy']),
      created_at timestamptz not null default now(),
      revoked_at timestamptz
    );

    -- No foreign keys: the log keeps the ids of what has since been deleted.
    create table decisions (
      id uuid not null,
      at timestamptz(3) not null,
      caller_id text collate "C" not null,
      api_key_id text collate "C",
      user_id text collate "C",
      business_id text collate "C",
      action text collate "C" not null,
      effect text not null check (effect in ('allow', 'deny')),
      code text not null,
      rule text not null,
      policy text not null,
      facts jsonb not null,
      ip text,
      user_agent text,
      request_id text,
      unique (id, at)
    );
  `);
}

export async function down(knex: Knex): Promise<void> {
  await knex.schema.raw(`
    drop table decisions, callers, api_key_businesses, api_keys, business_members, businesses, users;
    drop domain authz_id;
  `);
}
