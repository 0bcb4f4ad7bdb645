/** Freezes: what is denied for a while, whatever the policy would say. */

export const FREEZES = `
  create table freezes (
    id authz_id primary key,
    -- What it covers: a question that fits all that is not null. Ids are no references, so that a freeze of a user who is deleted, and
    -- made again under the same id, goes on.
    action text collate "C",
    key_id authz_id,
    user_id authz_id,
    business_id authz_id,
    -- Public: the client reads it.
    reason authz_reason not null,
    created_at timestamptz(3) not null default now(),
    until timestamptz not null,
    lifted_at timestamptz(3)
  );
  create index freezes_by_until on freezes (until) where lifted_at is null;`;

export const DROP_FREEZES = 'drop table freezes;';
