/**
 * A version after this one, made up: this one's build under another number, with two more migrations, and one line that uses what they
 * bring. It expands the database by 002, and contracts it by 003, after which this version's changes would find no function.
 */

import { cp, mkdir, mkdtemp, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { DECISIONS, MIGRATIONS, type Migration } from '../../migrations/index.ts';
import { ROOT } from '../support/cli.ts';

/** Columns where rows are copied, inserted, selected by `*` and returned; a table of its own, and a function in place of another. */
const EXPAND = `
  create table regions (id text primary key, name text not null);
  create index regions_by_name on regions (name);
  alter table users add column locale text not null default 'en';
  alter table api_keys add column note text;
  alter table callers add column note text;
  alter table freezes add column ticket text;
  alter table replicas add column region text default 'eu';
  alter table changes add column region text;
  alter table admin_events add column region text;
  alter table situations add column region text;
  alter table decision_records add column region text default 'eu';
  create or replace view decisions as ${DECISIONS.replace('r.shadow_rule', 'r.shadow_rule, r.region')};
  create function authz_change(events jsonb, changes jsonb, newest_migration text) returns bigint
  language sql security definer as 'select authz_record_change(events, changes, newest_migration)';`;

const CONTRACT = `
  drop function authz_change;
  alter function authz_record_change rename to authz_change;`;

const ADDED = [
  { name: '002_regions', breaking: null, sql: EXPAND },
  { name: '003_without_record_change', breaking: '002_regions', sql: CONTRACT },
] as const;

export const VERSION_AFTER = '999.0.0';

/** This version's migrations and those. */
export const MIGRATIONS_AFTER: ReadonlyMap<string, Migration> = new Map([
  ...MIGRATIONS,
  ...ADDED.map(({ name, breaking, sql }): [string, Migration] => [
    name,
    { breaking, up: (knex) => knex.schema.raw(sql), down: async () => undefined },
  ]),
]);

/** Its folder, to be removed by `remove`; `dist` must have been built. */
export async function makeSuccessor(): Promise<{ readonly root: string; readonly remove: () => Promise<void> }> {
  const root = await mkdtemp(path.join(tmpdir(), 'upgrades-successor-'));
  const at = (...names: string[]): string => path.join(root, ...names);
  await mkdir(at('dist'));
  // Not the packages: they are found by way of node_modules.
  for (const part of ['src', 'migrations'])
    await cp(path.join(ROOT, 'dist', part), at('dist', part), { recursive: true });
  for (const shared of ['node_modules', 'policies']) await symlink(path.join(ROOT, shared), at(shared));
  const { version: _, ...named } = JSON.parse(await readFile(path.join(ROOT, 'package.json'), 'utf8')) as {
    version: string;
  };
  await writeFile(at('package.json'), JSON.stringify({ ...named, version: VERSION_AFTER }));

  for (const { name, breaking, sql } of ADDED)
    await writeFile(
      at('dist', 'migrations', `${name}.js`),
      `export const breaking = ${JSON.stringify(breaking)};
       export const up = (knex) => knex.schema.raw(${JSON.stringify(sql)});
       export const down = async () => undefined;`,
    );
  await rename(at('dist', 'migrations', 'index.js'), at('dist', 'migrations', 'before.js'));
  await writeFile(
    at('dist', 'migrations', 'index.js'),
    `import * as before from './before.js';
     ${ADDED.map(({ name }, index) => `import * as added${index} from './${name}.js';`).join('\n')}
     export const DECISIONS = before.DECISIONS;
     export const MIGRATIONS = new Map([...before.MIGRATIONS, ${ADDED.map(({ name }, index) => `['${name}', added${index}]`)}]);`,
  );
  await mkdir(at('deploy'));
  const roles = await readFile(path.join(ROOT, 'deploy', 'roles.sql'), 'utf8');
  await writeFile(at('deploy', 'roles.sql'), roles.replace('function authz_record_change', 'function authz_change'));

  const mutate = at('dist', 'src', 'db', 'mutate.js');
  const code = await readFile(mutate, 'utf8');
  expect(code).to.include('select authz_record_change(');
  await writeFile(mutate, code.replace('select authz_record_change(', 'select authz_change('));
  return { root, remove: () => rm(root, { recursive: true, force: true }) };
}
