/** The decision log as hash chains: a partition for each UTC day, the head of each chain, the signed checkpoints. */

export const DECISION_LOG = `
  -- src/audit/columns.ts says of each column how it is shown, and whether the hash covers it; a test holds the two together.
  -- No foreign keys: the log keeps the ids of what has since been deleted.
  create table decisions (
    id uuid not null,
    at timestamptz(3) not null,
    -- The place in a chain: the process, and the number in its chain of that day.
    boot uuid not null,
    seq bigint not null,
    hash bytea not null check (octet_length(hash) = 32),
    caller_id text collate "C" not null,
    api_key_id text collate "C",
    user_id text collate "C",
    business_id text collate "C",
    action text collate "C" not null,
    effect text collate "C" not null check (effect in ('allow', 'deny')),
    code text collate "C" not null,
    rule text collate "C" not null,
    policy text collate "C" not null,
    facts_version smallint not null check (facts_version > 0),
    facts jsonb not null,
    duration_us integer,
    fingerprint text collate "C",
    request_id text collate "C",
    caller_request_id text collate "C",
    -- The hash covers ip and user_agent by their salted digest alone. Erasing sets the first three to null.
    ip text,
    user_agent text,
    personal_salt bytea check (octet_length(personal_salt) = 16),
    personal_digest bytea not null check (octet_length(personal_digest) = 32),
    shadow_policy text collate "C",
    shadow_code text collate "C",
    shadow_rule text collate "C",
    -- In this order it also serves pages, newest first, one partition after the other; an id is looked up with its time,
    -- which is its first 48 bits. The included columns let statistics over millions of records read this index alone, a
    -- tenth of the log; they are 30 to 60 bytes a record.
    constraint decisions_at_id_key unique (at, id) include (caller_id, action, code)
  ) partition by range (at);

  -- For keyset pagination by one filter, newest first. Partial: a record that an index leaves out costs it no write. So allows,
  -- which most decisions are, are in none by code; by fingerprint there are those with an unknown credential only, by shadow
  -- those where the shadow policy would have answered otherwise.
  create index decisions_by_key on decisions (api_key_id, at, id) where api_key_id is not null;
  create index decisions_by_user on decisions (user_id, at, id) where user_id is not null;
  create index decisions_by_business on decisions (business_id, at, id) where business_id is not null;
  create index decisions_by_code on decisions (code, at, id) where code <> 'OK';
  create index decisions_by_business_and_code on decisions (business_id, code, at, id)
    where business_id is not null and code <> 'OK';
  create index decisions_by_fingerprint on decisions (fingerprint, at, id) where fingerprint is not null;
  create index decisions_by_shadow on decisions (shadow_policy, at) where shadow_policy is not null;

  -- Where each chain ends. Updated by every batch: the free half of each page keeps that within the page (HOT).
  create table chain_heads (
    boot uuid not null,
    day date not null,
    -- Of the bytes that the chain is hashed over: docs/audit.md, "The encoding".
    format smallint not null check (format > 0),
    opening bytea not null check (octet_length(opening) = 32),
    records bigint not null check (records > 0),
    hash bytea not null check (octet_length(hash) = 32),
    -- SHA-256 of the secret of the process that began the chain, without which nobody moves it; null: nobody does.
    capability bytea check (octet_length(capability) = 32),
    primary key (boot, day)
  ) with (fillfactor = 50);

  create table checkpoints (
    number bigint primary key,
    at timestamptz(3) not null,
    writer uuid not null,
    -- Of all heads; the column heads has those that changed since the writer's last checkpoint.
    size integer not null,
    root bytea not null check (octet_length(root) = 32),
    heads jsonb not null,
    public_key bytea not null,
    signature bytea not null
  );
  create index checkpoints_by_writer on checkpoints (writer, number);

  -- The days whose records were dropped, and what was signed of each: so that verification tells a pruned day from a lost one.
  create table pruned_days (
    day date primary key,
    at timestamptz(3) not null,
    records bigint not null check (records > 0),
    -- Over the heads of the day, which stay.
    root bytea not null check (octet_length(root) = 32),
    public_key bytea not null,
    signature bytea not null
  );`;

export const DROP_DECISION_LOG = 'drop table pruned_days, checkpoints, chain_heads, decisions;';
