/** Every policy that was ever live, by digest, and which process has which. */

export const ROLLOUT = `
  create table policies (
    digest text collate "C" primary key,
    -- An object: file name -> text.
    texts jsonb not null,
    first_seen_at timestamptz(3) not null default now()
  );

  -- A heartbeat of each process: seen_at, the policy that it decides by, and the last change that its cache applied.
  create table replicas (
    id text collate "C" primary key,
    version text not null,
    started_at timestamptz(3) not null default now(),
    seen_at timestamptz not null default now(),
    last_applied bigint,
    policy_digest text collate "C",
    policy_since timestamptz(3),
    policy_refused_at timestamptz(3)
  );`;

export const DROP_ROLLOUT = 'drop table replicas, policies;';
