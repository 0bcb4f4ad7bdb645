/**
 * The decision log as hash chains: a partition for each UTC day, the head of each chain, the signed checkpoints. Most of a decision is the same
 * as of thousands before it: its situation, which is stored once. `decisions` is the view that has all of it together.
 */

/** What `decisions` shows. The verification holds the view against it (src/audit/verify/shown.ts). */
export const DECISIONS = `
  select r.id, r.at, r.boot, r.seq, r.hash, r.caller_id, r.api_key_id, r.user_id, r.business_id, r.action, r.effect, r.code, r.rule,
    case when r.situation is null then r.policy else s.policy end as policy,
    case when r.situation is null then r.facts_version else s.facts_version end as facts_version,
    case when r.situation is null then r.facts else
      jsonb_set(jsonb_set(jsonb_set(s.facts, '{key,id}', to_jsonb(coalesce(r.api_key_id, ''))),
        '{user,id}', to_jsonb(coalesce(r.user_id, ''))), '{target,id}', to_jsonb(coalesce(r.business_id, ''))) end as facts,
    r.duration_us, r.fingerprint, r.request_id, r.caller_request_id, r.trace_id, r.ip, r.user_agent, r.personal_salt, r.personal_digest,
    r.shadow_policy, r.shadow_code, r.shadow_rule
  from decision_records r left join situations s on s.digest = r.situation`;

export const DECISION_LOG = `
  -- src/audit/columns.ts says of each column how it is shown, and whether the hash covers it; a test holds the two together.
  -- No foreign keys: the log keeps the ids of what has since been deleted.
  create table decision_records (
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
    -- The digest of its situation; or, where that is too long or too rare to be shared, null, and the three that it would be of.
    situation bytea check (octet_length(situation) = 32),
    policy text collate "C",
    facts_version smallint check (facts_version > 0),
    facts jsonb,
    duration_us integer,
    fingerprint text collate "C",
    request_id text collate "C",
    caller_request_id text collate "C",
    trace_id text collate "C",
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
    constraint decisions_at_id_key unique (at, id) include (caller_id, action, code),
    constraint one_situation check (num_nonnulls(policy, facts_version, facts) = case when situation is null then 3 else 0 end)
  ) partition by range (at);

  -- What a decision is made from, but for the ids of key, user and target, and by which policy: of as many decisions as it was the
  -- same in. The hash of each of them covers all of it, so whoever edits a situation alters each of its decisions.
  create table situations (
    -- SHA-256 of the JSON of facts, factsVersion and policy as the service sent it: it names the situation, and no more.
    digest bytea primary key check (octet_length(digest) = 32),
    -- INVARIANT: no decision of a later UTC day names it. So it goes with the last day that does, and not before.
    last_day date not null,
    policy text collate "C" not null,
    facts_version smallint not null check (facts_version > 0),
    facts jsonb not null
  );

  -- Each index costs every record that it is of some 2.5 us of a core, so each is named with the questions that need it. Of pages, tails and
  -- statistics with a filter; what has no index here (rule, address, caller, request id, effect) is searched for in the time that is asked about.
  -- Partial: a record that an index leaves out costs it no write. So allows, which most decisions are, are in none by code.
  -- They end in the order of pages, newest first. The id alone would be that order, too, but partitions are by \`at\`: only in its order are they read
  -- one after the other, and left as soon as a page is full.
  -- What was this key used for? Filter apiKeyId, a credential that is or was a key; stats by key.
  create index decisions_by_key on decision_records (api_key_id, at, id) where api_key_id is not null;
  -- What was asked for this user, with all keys there ever were? Filter userId; stats by user.
  create index decisions_by_user on decision_records (user_id, at, id) where user_id is not null;
  -- Who came to this business? Filter businessId; stats by business.
  create index decisions_by_business on decision_records (business_id, at, id) where business_id is not null;
  -- Where was this denied? Filter code, but OK.
  create index decisions_by_code on decision_records (code, at, id) where code <> 'OK';
  -- Why is this business denied? Filters businessId and code: each may be of millions while both are of none, and neither index above tells.
  create index decisions_by_business_and_code on decision_records (business_id, code, at, id)
    where business_id is not null and code <> 'OK';
  -- Who tries this credential, which is no key? The filter of a credential; the findings credential-repeated and address-many-credentials.
  create index decisions_by_fingerprint on decision_records (fingerprint, at, id) where fingerprint is not null;
  -- What would the shadow policy have changed? The few that it would have decided otherwise: shadowShifts (src/rollout/replay.ts).
  create index decisions_by_shadow on decision_records (at) where shadow_policy is not null;

  -- A left join: a decision whose situation is gone is still there, without its facts. And where nothing of it is asked for, it is not looked for.
  create view decisions as ${DECISIONS};

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

export const DROP_DECISION_LOG = `
  drop view decisions;
  drop table pruned_days, checkpoints, chain_heads, situations, decision_records;`;
