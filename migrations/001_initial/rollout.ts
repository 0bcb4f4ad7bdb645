/** Every policy that was ever live, by digest, and which process has which. */

export const ROLLOUT = `
  create table policies (
    digest text collate "C" primary key,
    -- An object: file name -> text, or of a file of a network, which may have 16 MiB, {"sha256": the one in policy_files}.
    texts jsonb not null,
    first_seen_at timestamptz(3) not null default now()
  );

  -- Files of networks, each once however many policies have it.
  create table policy_files (
    -- Of the text in UTF-8, in hex.
    sha256 text collate "C" primary key,
    text text not null
  );

  -- A heartbeat of each process: seen_at, the policy that it decides by, and the last change that its cache applied.
  create table replicas (
    id text collate "C" primary key,
    version text not null,
    -- The newest migration that it knows.
    newest_migration text collate "C" not null default '',
    started_at timestamptz(3) not null default now(),
    seen_at timestamptz not null default now(),
    last_applied bigint,
    policy_digest text collate "C",
    policy_since timestamptz(3),
    policy_refused_at timestamptz(3)
  );`;

export const DROP_ROLLOUT = 'drop table replicas, policies, policy_files;';
