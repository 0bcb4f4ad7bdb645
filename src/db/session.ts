/**
 * Connections whose transactions are what we make them, whatever the defaults of the database and the role, and behind a
 * pooler that gives each transaction another server connection (PgBouncer's transaction mode).
 *
 * Nothing goes into the start-up packet: a pooler refuses it there, or drops it without a word. Where the session is ours,
 * it is set up once, after connecting. Behind a pooler each transaction sets what it relies on, in the same round trip.
 */

import { randomBytes } from 'node:crypto';
import { TLSSocket } from 'node:tls';
import pg from 'pg';

/**
 * What our statements and the parsing of their results rely on. Read-only is left as it is: who sets
 * default_transaction_read_only, an operator or a server that runs out of disk, means us, and /readyz says so.
 */
const SETTINGS = {
  // INVARIANT: a commit that was confirmed is on disk.
  synchronous_commit: 'on',
  lock_timeout: '0',
  datestyle: 'ISO, YMD',
  intervalstyle: 'postgres',
  timezone: 'UTC',
  bytea_output: 'hex',
  standard_conforming_strings: 'on',
  extra_float_digits: '1',
};
const ISOLATION = 'read committed';
const BEGIN = `begin isolation level ${ISOLATION}`;
/** How long a server that accepted the connection may take to make the settings. */
const SET_UP_MS = 2000;

/** Of the clients that are ours: what makes the settings of a transaction, where that may have another server connection each time. */
const pooled = new WeakMap<pg.ClientBase, string | undefined>();

export const isPooled = (client: pg.ClientBase): boolean => pooled.get(client) !== undefined;

/** What who sends messages of his own must put around them, so that they are one transaction with our settings; undefined: nothing. */
export function enclosureOf(
  client: pg.ClientBase,
): { readonly before: readonly string[]; readonly after: string } | undefined {
  const settings = pooled.get(client);
  if (settings === undefined || inTransaction(client)) return undefined;
  return { before: [BEGIN, settings], after: 'commit' };
}

/** Whether a transaction is open on the connection, as of its last answer. */
export const inTransaction = (client: pg.ClientBase): boolean =>
  ['T', 'E'].includes(client.getTransactionStatus() ?? '');

const PROCESS = randomBytes(4).toString('hex');

/** A name for a prepared statement that no other process has: of theirs, such as an older version's, ours must not be taken for one. */
export const statementName = (name: string): string => `authz-${PROCESS}-${name}`;

/**
 * SQLSTATEs invalid_sql_statement_name and duplicate_prepared_statement: something between us and the server gives one session's statements to
 * another, and hides that it does. Who prepares is to stop.
 */
export const isLostStatement = (error: unknown): boolean =>
  ['26000', '42P05'].includes(String((error as { code?: unknown } | null)?.code));

/** Connects, and sets up what `query` of the client sends from then on; `own` are settings besides ours. Milliseconds; 0: no limit. @throws what connecting throws */
export async function openSession(
  config: pg.ClientConfig,
  statementLimitMs: number,
  own: Settings = {},
): Promise<Internals> {
  const client = new pg.Client(config) as Internals;
  for (const [answer, form] of ASKED_FOR) {
    const give = client[answer].bind(client);
    client[answer] = (message) =>
      isVerified(client.connection.stream) ? give(message) : client.connection.emit('error', new Error(refusal(form)));
  }
  // Without a listener an 'error' event would end the process; the query that meets the loss rejects.
  client.on('error', () => undefined);
  try {
    await client.connect();
    await setUp(client, { ...SETTINGS, ...own, statement_timeout: String(statementLimitMs) });
  } catch (error) {
    client.connection.stream.destroy();
    throw error;
  }
  return client;
}

/** Requests for the password, by the methods of pg that answer them, whose answers give it to whoever reads or forges them. */
const ASKED_FOR = [
  ['_handleAuthCleartextPassword', 'in clear text'],
  ['_handleAuthMD5Password', 'as MD5'],
] as const;

const isVerified = (stream: unknown): boolean => stream instanceof TLSSocket && stream.authorized;

const refusal = (form: string): string =>
  `the server asks for the password ${form}, which is given over TLS with a verified certificate only: give the role its ` +
  'password anew as scram-sha-256 and name that method in pg_hba.conf (auth_type of a pooler), or add sslmode=verify-full to the URL';

type Settings = Readonly<Record<string, string>>;

async function setUp(client: Internals, settings: Settings): Promise<void> {
  const send = client.query.bind(client) as Send;
  // A pooler announces a process id of its own making, or none, so that no request to cancel by it may be sent either.
  const foreign = `pg_backend_pid() is distinct from ${client.processID ?? 'null'}`;
  const ours = settingsSql({ ...settings, default_transaction_isolation: ISOLATION }, foreign);
  const setting = { text: `${ours}, ${foreign} as pooled`, query_timeout: SET_UP_MS };
  const { rows } = (await send(setting)) as pg.QueryResult<{ pooled: boolean }>;
  const behindPooler = rows[0]?.pooled !== false;
  const setLocally = settingsSql(settings, 'true');
  pooled.set(client, behindPooler ? setLocally : undefined);

  const query: Send = (sent, ...rest) => {
    if (isSubmittable(sent)) return send(sent, ...rest);
    const values = rest.find((each) => Array.isArray(each));
    const asked: Asked = { ...(typeof sent === 'string' ? { text: sent } : sent), ...(values && { values }) };
    const answer = rest.find((each): each is Answer => typeof each === 'function');
    if (answer === undefined)
      return new Promise((resolve, reject) =>
        query(asked, (error, result) => (error ? reject(error) : resolve(result))),
      );
    if (/^begin\b[^;]*;?\s*$/i.test(asked.text ?? ''))
      return send(`${beginSql(asked.text ?? '')}; ${setLocally}`, answer);
    if (!behindPooler) return send(asked, answer);
    const { name: _, ...unnamed } = asked;
    if (inTransaction(client)) return send(unnamed, answer);
    return send(
      new Enclosed(unnamed, setLocally, (error, result) => {
        // Queued until the server is ready again. It has no transaction to end where the connection itself failed.
        if (error instanceof pg.DatabaseError) send('rollback', () => answer(error));
        else answer(error, result);
      }),
    );
  };
  client.query = query as typeof client.query;
}

/** `local`: SQL of whether they hold for the transaction only. */
const settingsSql = (settings: Settings, local: string): string =>
  `select ${Object.entries(settings).map(([name, value]) => `set_config('${name}', '${value}', ${local})`)}`;

/** The isolation level is the one setting that no query can make, as it must come before every query. */
const beginSql = (begin: string): string =>
  begin.replace(/;\s*$/, '') + (/isolation/i.test(begin) ? '' : ` isolation level ${ISOLATION}`);

/**
 * A statement in a transaction of its own, sent as one: begin, settings, the statement, commit, and a single Sync, so that
 * after a failure of one nothing of the rest is run. Its answer comes with the ReadyForQuery after the commit.
 */
class Enclosed extends (pg.Query as unknown as QueryClass) {
  readonly #settings: string;
  #completed = 0;

  constructor(asked: Asked, settings: string, answer: Answer) {
    super({ ...asked, values: asked.values ?? [], queryMode: 'extended' }, answer);
    this.#settings = settings;
  }

  override prepare(connection: Wire): void {
    run(connection, BEGIN);
    run(connection, this.#settings);
    super.prepare(connection);
  }

  override _getRows(connection: Wire): void {
    connection.execute({ portal: '', rows: 0 });
    run(connection, 'commit');
    connection.sync();
  }

  override handleDataRow(message: unknown): void {
    if (this.#completed === AHEAD) super.handleDataRow(message);
  }

  override handleCommandComplete(message: unknown, connection: Wire): void {
    if (this.#completed === AHEAD) super.handleCommandComplete(message, connection);
    this.#completed += 1;
  }
}

/** Statements before the one that is asked for. */
const AHEAD = 2;

function run(connection: Wire, text: string): void {
  connection.parse({ text, name: '', types: [] });
  connection.bind({ portal: '', statement: '', values: [] });
  connection.execute({ portal: '', rows: 0 });
}

type Asked = {
  readonly query_timeout?: number;
  readonly text?: string;
  readonly name?: string;
  readonly values?: readonly unknown[];
};
type Answer = (error: Error | null, result?: unknown) => void;
type Send = (
  sent: string | Asked | pg.Submittable,
  ...rest: readonly (readonly unknown[] | Answer | undefined)[]
) => unknown;

const isSubmittable = (sent: unknown): sent is pg.Submittable => typeof (sent as pg.Submittable)?.submit === 'function';

/** What pg has and its types lack. */
export type Internals = pg.Client & {
  readonly connection: pg.Connection;
  readonly processID?: number | null;
} & Record<(typeof ASKED_FOR)[number][0], (message: unknown) => void>;

interface Wire {
  readonly parse: (statement: { text: string; name: string; types: readonly number[] }) => void;
  readonly bind: (portal: { portal: string; statement: string; values: readonly unknown[] }) => void;
  readonly execute: (portal: { portal: string; rows: number }) => void;
  readonly sync: () => void;
}

type QueryClass = new (
  config: object,
  answer: Answer,
) => {
  readonly submit: (connection: pg.Connection) => void;
  prepare(connection: Wire): void;
  _getRows(connection: Wire): void;
  handleDataRow(message: unknown): void;
  handleCommandComplete(message: unknown, connection: Wire): void;
};
