-- The two roles of a database that is not the embedded one. Run it as the owner of the tables, who may also create roles,
-- after the migrations, and again after each upgrade; it may be run any number of times:
--
--   psql "$OWNER_URL" -v ON_ERROR_STOP=1 -f deploy/roles.sql
--
-- Neither role can log in yet. Give it a password, or make your users members of it:
--
--   alter role authz_service login password '...';
--
-- authz_service runs `authz serve`, and the verbs that change keys and directory. It adds decisions, events and
-- checkpoints by functions alone, and can neither change nor remove any, nor the heads of chains; it owns no table and makes none.
-- authz_auditor reads the log, the events of changes, the policies, and views of keys, callers, members and ids without any digest. It
-- writes nothing but the event of each of its reads, through a function; docs/audit.md says what it may see, and which verbs it runs.

begin;

do $$
begin
  if not exists (select from pg_roles where rolname = 'authz_service') then
    create role authz_service nologin nosuperuser nocreatedb nocreaterole noreplication nobypassrls;
  end if;
  if not exists (select from pg_roles where rolname = 'authz_auditor') then
    create role authz_auditor nologin nosuperuser nocreatedb nocreaterole noreplication nobypassrls;
  end if;
end $$;

-- What an earlier version, or somebody, granted besides; on partitions too, which are reached by way of their table.
revoke all on all tables in schema public from authz_service, authz_auditor;
revoke create on schema public from public, authz_service, authz_auditor;
grant usage on schema public to authz_service, authz_auditor;

grant select on knex_migrations to authz_service, authz_auditor;

grant select, insert, update, delete
  on users, businesses, business_members, api_keys, api_key_businesses, callers, freezes to authz_service;
grant select, insert on peppers to authz_service;
grant select, insert, update on policies to authz_service;
grant select, insert on policy_files to authz_service;
grant select, insert, update, delete on replicas, findings, finding_kinds, finding_messages to authz_service;
grant select, update on finding_turn to authz_service;

grant select on admin_events to authz_service;
grant select, delete on changes to authz_service;
grant select on change_counter to authz_service, authz_auditor;
grant execute on function authz_record_change, authz_chain_reads to authz_service;

-- What it inserts, a trigger holds against the chain of its process; see migrations/001_initial/record-functions.ts.
grant insert on decision_records to authz_service;
grant select on decisions, decision_records, situations, chain_heads, checkpoints, pruned_days to authz_service;
grant execute on function authz_append_checkpoint to authz_service;
grant execute on function authz_make_partition to authz_service;

grant select on decisions, decision_records, situations, chain_heads, checkpoints, pruned_days, admin_events, policies, policy_files, freezes,
    replicas
  to authz_auditor;
grant select on audited_keys, audited_callers, audited_members, audited_ids, audited_values to authz_service, authz_auditor;
-- read_rates is for the function alone.
grant execute on function authz_by_index, authz_record_read, authz_find_keys, authz_pepper_faults to authz_service, authz_auditor;

commit;
