/** What every verb that works on the database shares: opening it, saying who acts, asking before harm is done. */

import { userInfo } from 'node:os';
import { createInterface } from 'node:readline/promises';
import type { Command } from 'commander';
import type { Knex } from 'knex';
import { loadConfig } from '../../config.ts';
import { openDatabase, type Peppers } from '../../database.ts';
import { connect } from '../../db/connect.ts';
import { orFailure } from '../../db/failure.ts';
import { migrationsCurrent } from '../../db/migrate.ts';
import type { Actor } from '../../db/mutate.ts';
import { type Cursors, createCursors, type Page } from '../../db/page.ts';
import { Refusal } from '../../errors.ts';
import { print, printJson, table } from './output.ts';

export interface Session {
  readonly db: Knex;
  readonly peppers: Peppers;
  readonly actor: Actor;
  readonly cursors: Cursors;
}

/** Runs `work` on the database, attached to the embedded server or starting it for as long as this takes. */
export async function withDatabase<T>(work: (session: Session) => Promise<T>): Promise<T> {
  const { db, peppers, close } = await openDatabase(loadConfig());
  try {
    return await work({ db, peppers, actor: actorHere(), cursors: createCursors(peppers[0].secret) });
  } finally {
    await close();
  }
}

const READ_MS = 10_000;

/**
 * As `withDatabase`, for what only reads the log: DATABASE_URL may be that of an auditor, who holds no pepper, and who
 * must not change the database to look at it. @throws Refusal when it is not at the tables that this version knows
 */
export const withReadableDatabase = <T>(work: (db: Knex) => Promise<T>): Promise<T> =>
  withOwnDatabase(({ db }) => work(db));

/** As `withReadableDatabase`, for who changes the log itself: its owner, who needs no pepper either. @throws Refusal */
export async function withOwnDatabase<T>(work: (session: Pick<Session, 'db' | 'actor'>) => Promise<T>): Promise<T> {
  const { DATABASE_URL } = loadConfig();
  if (DATABASE_URL === undefined) return withDatabase(work);
  const db = connect({ url: DATABASE_URL, poolSize: 1 });
  try {
    if (!(await orFailure(migrationsCurrent(db, READ_MS)))) {
      throw new Refusal(
        'the database does not have the tables of this version; use the version that serves it, or authz migrate',
      );
    }
    return await work({ db, actor: actorHere() });
  } finally {
    await db.destroy();
  }
}

const actorHere = (): Actor => ({ id: `cli:${account()}` });

function account(): string {
  try {
    return userInfo().username;
  } catch {
    // An account without an entry in the system's list, as in containers.
    return String(process.getuid?.() ?? 'unknown');
  }
}

export interface Format {
  readonly json?: true;
}

/** A verb with what all of them have: a description, `--json`, an example. */
export const verb = (parent: Command, usage: string, description: string, example: string): Command =>
  parent
    .command(usage)
    .description(description)
    .option('--json', 'print JSON')
    .addHelpText('after', `\nExample:\n  authz ${parent.name() === 'authz' ? '' : `${parent.name()} `}${example}`);

/** A verb that cannot be taken back: it has `--yes` too. */
export const destructiveVerb = (parent: Command, usage: string, description: string, example: string): Command =>
  verb(parent, usage, description, example).option('--yes', 'do not ask; needed where there is no terminal');

/** Asks on a terminal. @throws Refusal when the answer is no, or nobody is there to ask and `yes` is not given. */
export async function confirm(question: string, yes: boolean | undefined): Promise<void> {
  if (yes) return;
  if (!process.stdin.isTTY || !process.stderr.isTTY) {
    throw new Refusal(`this cannot be taken back (${question}); add --yes to do it without being asked`);
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await terminal.question(`${question}? [y/N] `);
  terminal.close();
  if (!/^y(es)?$/i.test(answer.trim())) throw new Refusal('nothing was changed');
}

/** A record as two columns for a person, as it is for a program. */
export function show(record: object, { json }: Format): void {
  if (json) printJson(record);
  else print(table(Object.entries(record).map(([field, value]) => ({ field, value: cell(value) }))));
}

/** Records as a table with the named columns; all of each record for a program. */
export function showList<T extends object>(
  records: readonly T[],
  columns: readonly (keyof T & string)[],
  { json }: Format,
): void {
  if (json) printJson(records);
  else if (records.length === 0) print('none');
  else
    print(table(records.map((record) => Object.fromEntries(columns.map((column) => [column, cell(record[column])])))));
}

/** A page of a list, and how to get the next one. */
export function showPage<T extends object>(
  page: Page<T>,
  columns: readonly (keyof T & string)[],
  format: Format,
): void {
  if (format.json) printJson(page);
  else {
    showList(page.items, columns, format);
    if (page.nextCursor) print(`\nMore: add --cursor ${page.nextCursor}`);
  }
}

function cell(value: unknown): string | null {
  if (value === null || value === undefined) return null;
  if (Array.isArray(value))
    return value.length > 5
      ? `${value.slice(0, 5).join(', ')} and ${value.length - 5} more`
      : value.join(', ') || '(none)';
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

export const pageOptions = (command: Command): Command =>
  command.option('--limit <n>', 'how many, 1 to 200', '50').option('--cursor <cursor>', 'where the page before ended');

/** `100/60`: requests per seconds. @throws Refusal */
export function rateLimitOption(text: string | undefined): { requests: number; windowSeconds: number } | undefined {
  if (text === undefined) return undefined;
  const [, requests, windowSeconds] = /^(\d{1,10})\/(\d{1,5})$/.exec(text) ?? [];
  if (requests === undefined || windowSeconds === undefined)
    throw new Refusal('a rate limit is written requests/seconds, such as 600/60');
  return { requests: Number(requests), windowSeconds: Number(windowSeconds) };
}

/** For an option that takes a list: `a,b`, and as often as one likes. */
export const collect = (text: string, before: string[] | false | undefined): string[] => [
  ...(before || []),
  ...text.split(',').map((part) => part.trim()),
];

/** A whole number, written plainly: `Number` would take nothing for 0. @throws Refusal */
export function wholeNumber(text: string): number {
  if (!/^\d{1,10}$/.test(text)) throw new Refusal(`${JSON.stringify(text)} is no whole number`);
  return Number(text);
}

/** The whole of standard input without the line's end. */
export async function readStdin(): Promise<string> {
  let text = '';
  for await (const chunk of process.stdin.setEncoding('utf8')) text += chunk;
  return text.trim();
}
