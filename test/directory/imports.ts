/** Runs imports in this process, and reads what they left in the tables. */

import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import type { Knex } from 'knex';
import type { Pepper } from '../../src/credentials/token.ts';
import { type Counts, importFile } from '../../src/directory/import.ts';
import type { GeneratedKey } from '../../src/directory/import-keys.ts';
import type { Form } from '../../src/directory/import-source.ts';
import { Failure } from '../../src/errors.ts';
import { type Declaration, NOTHING_DECLARED } from '../../src/policy/declared/declaration.ts';
import { rejection } from '../support/rejection.ts';

export const pepper: Pepper = { id: 'p', secret: randomBytes(32) };
export const KEY_PEPPERS = `p:${pepper.secret.toString('base64')}`;

/** Entries as in the input, valid or not. */
export interface Directory {
  readonly users?: readonly object[];
  readonly businesses?: readonly object[];
  readonly members?: readonly object[];
  readonly apiKeys?: readonly object[];
}

const ENTRY = { users: 'user', businesses: 'business', members: 'member', apiKeys: 'apiKey' } as const;

/** The entries as JSON lines, in the document's order. */
export const linesOf = (directory: Directory): string[] =>
  (Object.keys(ENTRY) as (keyof typeof ENTRY)[]).flatMap((list) =>
    (directory[list] ?? []).map((entry) => JSON.stringify({ [ENTRY[list]]: entry })),
  );

/** A small directory, with these fields in its key. */
export const base = (key: object = {}) => ({
  users: [
    { id: 'u1', rateLimit: { requests: 10, windowSeconds: 60 } },
    { id: 'u2', disabled: true, disabledReason: 'Closed.' },
  ],
  businesses: [{ id: 'b1' }, { id: 7, disabled: true }],
  members: [
    { businessId: 'b1', userId: 'u1', role: 'owner' },
    { businessId: 7, userId: 'u1', role: 'member' },
  ],
  apiKeys: [
    {
      id: 'k1',
      userId: 'u1',
      friendlyName: 'Büro 1',
      allowUserManagementApiRequests: true,
      restrictedBusinessIds: ['b1'],
      ...key,
    },
  ],
});

/** What the attributes and roles of imports are held against. */
export const DECLARATION: Declaration = {
  ...NOTHING_DECLARED,
  attributes: {
    user: new Map([['plan', { kind: 'values', values: ['free', 'pro'], withholds: false }]]),
    business: new Map([['region', { kind: 'values', values: ['eu', 'us'], withholds: false }]]),
    key: new Map([
      ['can', { kind: 'grants', grants: ['sms', 'recordings'], withholds: false }],
      ['beta', { kind: 'boolean', values: [], withholds: false }],
    ]),
  },
  roles: ['viewer'],
};

export interface Imported {
  readonly counts: Counts;
  readonly generated: readonly GeneratedKey[];
}

/** Imports a directory (as a document), entries (as JSON lines), or a raw text in the given form. */
export async function load(
  db: Knex,
  what: Directory | readonly string[] | string,
  form: Form = Array.isArray(what) ? 'jsonl' : 'json',
  peppers: readonly [Pepper, ...Pepper[]] = [pepper],
): Promise<Imported> {
  const folder = await mkdtemp(path.join(tmpdir(), 'authz import '));
  const file = path.join(folder, `directory.${form}`);
  const text = typeof what === 'string' ? what : Array.isArray(what) ? what.join('\n') : JSON.stringify(what);
  try {
    await writeFile(file, text);
    const { counts, generated, generatedCount } = await importFile({
      db,
      peppers,
      actor: { id: 'test' },
      file,
      form,
      declaration: async () => DECLARATION,
    });
    const keys: GeneratedKey[] = [];
    for await (const some of generated) keys.push(...some);
    if (keys.length !== generatedCount) throw new Error(`${keys.length} keys of ${generatedCount} were shown`);
    return { counts, generated: keys };
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** The issues of an import that must be refused, as they are printed. */
export async function faultsOf(...args: Parameters<typeof load>): Promise<string[]> {
  const error = await rejection(load(...args));
  if (!(error instanceof Failure) || error.code !== 'INVALID_REQUEST') throw error;
  return (error.issues ?? []).map((issue) => `${issue.path || '(document)'}: ${issue.message}`);
}

/** Expects the import to be refused with exactly these issues, given by their beginnings, in this order. */
export async function expectFaults(wanted: readonly string[], ...args: Parameters<typeof load>): Promise<void> {
  const faults = await faultsOf(...args);
  expect(faults.map((fault, index) => fault.slice(0, wanted[index]?.length))).to.deep.equal(wanted);
}

const TABLES = ['users', 'businesses', 'business_members', 'api_keys', 'api_key_businesses', 'admin_events', 'changes'];

/** All rows of the tables that an import writes. */
export const rowsOf = async (db: Knex): Promise<Record<string, unknown[]>> =>
  Object.fromEntries(
    await Promise.all(
      TABLES.map(async (table) => [table, (await db.raw(`select * from ${table} order by 1, 2`)).rows]),
    ),
  );

export const NOTHING = Object.fromEntries(TABLES.map((table) => [table, []]));

/** Resolves to the backend's pid once a connection to this database executes a statement that begins so. */
export async function backendAt(db: Knex, statement: string): Promise<number> {
  for (;;) {
    const { rows } = await db.raw(
      `select pid from pg_stat_activity
       where datname = current_database() and state = 'active' and starts_with(query, ?) and pid <> pg_backend_pid()`,
      [statement],
    );
    if (rows[0]) return rows[0].pid;
    await sleep(5);
  }
}
