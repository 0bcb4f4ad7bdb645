/** What the replica that watches has found (src/watching), so that the next one goes on from there. */

export const FINDINGS = `
  -- One row, locked by who looks: it is the lock that lets one replica look at a time. An advisory lock could be held by any login.
  create table finding_turn (singleton boolean primary key default true check (singleton));
  insert into finding_turn default values;

  -- When each kind was looked for.
  create table finding_kinds (
    kind text collate "C" primary key,
    tried_at timestamptz not null,
    -- How long that took.
    took_ms integer not null check (took_ms >= 0),
    -- When it was last tried and did not fail, and how many were found then.
    looked_at timestamptz,
    found bigint check (found >= 0),
    check (num_nulls(looked_at, found) in (0, 2))
  );

  -- Those that stand, and those that stood within the day before: who comes back within that is not new.
  create table findings (
    kind text collate "C" not null,
    subject text collate "C" not null,
    says text not null,
    advice text not null,
    commands jsonb not null,
    first_seen timestamptz not null default now(),
    last_seen timestamptz not null default now(),
    -- The message that tells it, and when that was delivered.
    message uuid,
    notified_at timestamptz(3),
    primary key (kind, subject)
  );

  -- Messages that wait to be delivered, in the bytes that are signed.
  create table finding_messages (
    -- The webhook-id.
    id uuid primary key,
    made_at timestamptz not null default now(),
    body text not null,
    attempts integer not null default 0,
    next_attempt_at timestamptz not null default now()
  );`;

export const DROP_FINDINGS = 'drop table finding_messages, findings, finding_kinds, finding_turn;';
