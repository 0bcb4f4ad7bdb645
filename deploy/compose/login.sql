-- Run once by the image of PostgreSQL, when it has made the database: the login of the replicas. Their role has no right yet; `authz migrate
-- --roles` gives it those.
\set ON_ERROR_STOP on
\set password `cat /run/secrets/service_password`
create role authz_service nologin nosuperuser nocreatedb nocreaterole noreplication nobypassrls;
create role authz_prod login password :'password' in role authz_service;
