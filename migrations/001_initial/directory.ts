/** Users, businesses, memberships, API keys and callers: the facts that decisions are made from, and who may ask. */

export const DIRECTORY = `
  create domain authz_id as text collate "C" check (value ~ '^[A-Za-z0-9._:-]{1,64}$' and value not in ('.', '..'));
  create domain authz_name as text check (char_length(value) between 1 and 100);
  create domain authz_reason as text check (char_length(value) between 1 and 300);
  -- Which names and values there are is what facts.yaml declares: it is checked when they are written.
  create domain authz_attributes as jsonb check (jsonb_typeof(value) = 'object' and octet_length(value::text) <= 32768);

  create table users (
    id authz_id primary key,
    disabled_at timestamptz(3),
    disabled_reason authz_reason,
    businesses_disabled_at timestamptz(3),
    -- Null: the default of the service.
    rate_limit_requests integer check (rate_limit_requests > 0),
    rate_limit_window_seconds integer check (rate_limit_window_seconds between 1 and 86400),
    attributes authz_attributes not null default '{}',
    created_at timestamptz(3) not null default now(),
    constraint users_reason_of_disabled check (disabled_reason is null or disabled_at is not null),
    constraint users_rate_limit_whole check ((rate_limit_requests is null) = (rate_limit_window_seconds is null))
  );

  create table businesses (
    id authz_id primary key,
    disabled_at timestamptz(3),
    disabled_reason authz_reason,
    attributes authz_attributes not null default '{}',
    created_at timestamptz(3) not null default now(),
    constraint businesses_reason_of_disabled check (disabled_reason is null or disabled_at is not null)
  );

  create table business_members (
    business_id authz_id not null references businesses on delete cascade,
    user_id authz_id not null references users on delete cascade,
    -- owner, member, or one that facts.yaml declares: it is checked when it is written. The others are what facts say of no such role.
    role text collate "C" not null check (role ~ '^[a-z][a-z0-9_]{0,63}$' and role not in ('none', 'other')),
    primary key (business_id, user_id)
  );
  -- In this order it also serves pages of the businesses of one user.
  create index business_members_by_user on business_members (user_id, business_id);

  create table api_keys (
    id authz_id primary key,
    user_id authz_id not null references users on delete cascade,
    friendly_name authz_name not null,
    -- HMAC-SHA-256 of the key under the pepper of that id. The key itself is stored nowhere.
    digest bytea not null unique check (octet_length(digest) = 32),
    pepper_id text collate "C" not null,
    hint text collate "C" not null,
    allow_user_management boolean not null,
    -- A column of its own, so that a key whose last business was deleted does not become one without a restriction.
    restricted boolean not null,
    environment text collate "C" not null check (environment ~ '^[a-z0-9-]{1,32}$'),
    rate_limit_requests integer check (rate_limit_requests > 0),
    rate_limit_window_seconds integer check (rate_limit_window_seconds between 1 and 86400),
    attributes authz_attributes not null default '{}',
    -- In microseconds: an import finds the keys that it made by the now() of its transaction.
    created_at timestamptz not null default now(),
    expires_at timestamptz,
    revoked_at timestamptz(3),
    revoked_reason authz_reason,
    rotated_from authz_id,
    last_used_at timestamptz(3),
    version bigint not null default 1,
    constraint api_keys_reason_of_revoked check (revoked_reason is null or revoked_at is not null),
    constraint api_keys_rate_limit_whole check ((rate_limit_requests is null) = (rate_limit_window_seconds is null))
  );
  create index api_keys_by_user on api_keys (user_id, id);
  -- A key has one successor: of two rotations at the same moment the second violates this.
  create unique index api_keys_by_predecessor on api_keys (rotated_from) where rotated_from is not null;

  create table api_key_businesses (
    key_id authz_id not null references api_keys on delete cascade,
    business_id authz_id not null references businesses on delete cascade,
    primary key (key_id, business_id)
  );
  create index api_key_businesses_by_business on api_key_businesses (business_id);

  create table callers (
    id authz_id primary key,
    name authz_name not null,
    digest bytea not null unique check (octet_length(digest) = 32),
    pepper_id text collate "C" not null,
    scopes text[] not null check (scopes <@ array['authorize', 'evaluate', 'search', 'keys', 'keys:read', 'keys:grant-user-management',
      'directory', 'directory:read', 'audit', 'policy', 'policy:read', 'freeze']),
    -- Ids that it is bound to, whether or not there are such users and businesses. Null: not bound.
    bound_users text[] check (cardinality(bound_users) between 1 and 1000),
    bound_businesses text[] check (cardinality(bound_businesses) between 1 and 1000),
    created_at timestamptz(3) not null default now(),
    expires_at timestamptz,
    revoked_at timestamptz(3),
    rotated_from authz_id
  );
  create unique index callers_by_predecessor on callers (rotated_from) where rotated_from is not null;

  -- A keyed digest of a constant: tells two secrets under one id apart, and nothing else of them.
  create table peppers (
    id text collate "C" primary key,
    proof bytea not null
  );`;

export const DROP_DIRECTORY = `
  drop table peppers, callers, api_key_businesses, api_keys, business_members, businesses, users;
  drop domain authz_attributes, authz_reason, authz_name, authz_id;`;
