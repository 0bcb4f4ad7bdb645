/** What every mutation leaves: an event for auditors, and a numbered entry of the change feed for the caches. */

export const CHANGES = `
  -- id is a UUIDv7: its order is that of time.
  create table admin_events (
    id uuid primary key,
    at timestamptz(3) not null,
    -- Who did it, as the service or the command states it; and the login of the database that stated it.
    actor text collate "C" not null,
    login text collate "C" not null default session_user,
    action text collate "C" not null,
    subject_kind text collate "C" not null,
    subject_id text collate "C" not null,
    before jsonb,
    after jsonb,
    request_id text collate "C",
    -- The place in the chain of all events, and when it was taken: with the change; of the event of a read, before the next checkpoint.
    seq bigint unique,
    chained_at timestamptz(3),
    hash bytea check (octet_length(hash) = 32),
    check (num_nulls(seq, chained_at, hash) in (0, 3))
  );
  -- Newest first: of one subject, one actor, one action. Each read of the log leaves an event, so the table is not small.
  create index admin_events_by_subject on admin_events (subject_kind, subject_id, id);
  create index admin_events_by_actor on admin_events (actor, id);
  create index admin_events_by_action on admin_events (action, id);
  create index admin_events_unchained on admin_events (id) where seq is null;

  -- The feed's numbers come from one row that each writer locks until it commits: numbers become visible in their order.
  -- A sequence would let a slow transaction's lower number appear after a reader has passed it.
  create table change_counter (
    last bigint not null,
    -- Where the chain of admin_events ends: how many events it has, and the hash of the last.
    events bigint not null default 0,
    events_hash bytea not null default decode(repeat('00', 32), 'hex') check (octet_length(events_hash) = 32),
    singleton boolean primary key default true check (singleton)
  );
  insert into change_counter (last) values (0);

  create table changes (
    seq bigint not null,
    kind text collate "C" not null,
    id text collate "C" not null,
    digest bytea,
    -- Old rows are pruned by it. It also tells two histories apart in which one number means different changes: a restored
    -- backup counts on from where it was made.
    at timestamptz not null default statement_timestamp(),
    primary key (seq, kind, id)
  );
  create index changes_by_at on changes (at);`;

export const DROP_CHANGES = 'drop table changes, change_counter, admin_events;';
