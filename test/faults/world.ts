/**
 * The fixture of the fault tests: a service, its own PostgreSQL, a proxy between them, and clients in a separate process,
 * with checks of what they did. All test files here share one.
 */

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { expect } from 'chai';
import type { Knex } from 'knex';
import { createToken } from '../../src/credentials/token.ts';
import { connect } from '../../src/db/connect.ts';
import { type Cluster, startCluster } from '../support/cluster.ts';
import { startProxy, type Proxy as TcpProxy } from '../support/proxy.ts';
import { insertCaller, insertKey, startService, type TestService } from '../support/service.ts';
import type { Question, Reply, Told } from './clients.ts';
import { type Times, timesWithin } from './times.ts';

export const DEADLINE_MS = 250;
export const IN_FLIGHT = 200;
export const POOL = 20;

export interface World {
  readonly cluster: Cluster;
  readonly proxy: TcpProxy;
  readonly service: TestService;
  /** A pool that bypasses the proxy, as superuser. The service connects as the role `service`, which owns the tables. */
  readonly db: Knex;
  readonly keys: Keys;
  /** Sends that many questions of all kinds in turn, from `first` on, at once. `whenSent` runs as soon as they are on the wire. */
  readonly ask: (count: number, whenSent?: () => unknown, first?: number) => Promise<Outcome>;
  /** Questions that are not checked yet. */
  readonly unchecked: Answered[];
}

export interface Keys {
  readonly apiKey: string;
  readonly restricted: string;
  readonly callerToken: string;
}

export interface Asked extends Question {
  /** The codes of the decisions that a successful answer has. */
  readonly codes: readonly string[];
}

export type Answered = Reply & { readonly asked: Asked };

export interface Outcome {
  readonly replies: readonly Answered[];
  /** Answer times, measured inside the service. */
  readonly times: Times;
}

let started: Promise<World> | undefined;
const endings: (() => unknown)[] = [];

/** The fixture, with a full pool and a closed breaker. */
export function theWorld(): Promise<World> {
  started ??= start();
  return started;
}

after('the end of the world', async () => {
  for (const end of endings.reverse()) await end();
});

async function start(): Promise<World> {
  const ending = <T>(value: T, end: (value: T) => unknown): T => {
    endings.push(() => end(value));
    return value;
  };
  ending(listenForStrays(), (strays) => expect(strays(), 'what nobody caught').to.deep.equal([]));
  const cluster = ending(await startCluster(), ({ close }) => close());
  const db = ending(await newDatabase(cluster.url), (db) => db.destroy());
  const proxy = ending(await startProxy(serviceUrl(cluster.url)), ({ close }) => close());
  const service = ending(
    await startService({
      DATABASE_URL: proxy.url,
      DECISION_DEADLINE_MS: String(DEADLINE_MS),
      DATABASE_POOL: String(POOL),
    }),
    ({ close }) => close(),
  );
  const keys = await fill({ db, pepper: service.pepper });
  const clients = ending(
    fork(path.join(import.meta.dirname, 'clients.ts'), [service.address, String(IN_FLIGHT)]),
    (child) => child.disconnect(),
  );
  const unchecked: Answered[] = [];
  return {
    cluster,
    proxy,
    service,
    db,
    keys,
    unchecked,
    ask: async (count, whenSent, first = 0) => {
      const asked = questions(first + count, service.token, keys).slice(first);
      const { value, times } = await timesWithin(() => put(clients, asked, whenSent));
      const replies = value.map((reply, index) => ({ ...reply, asked: asked[index] as Asked }));
      unchecked.push(...replies);
      return { replies, times };
    },
  };
}

const serviceUrl = (clusterUrl: string): string => {
  const url = new URL(clusterUrl);
  url.username = url.password = 'service';
  url.pathname = 'faults';
  return url.href;
};

/** A database owned by the role of the service, which is no superuser: limits and permissions would not apply to one. */
async function newDatabase(clusterUrl: string): Promise<Knex> {
  const server = connect({ url: clusterUrl, poolSize: 1 });
  await server.raw(`create role service login password 'service'`);
  await server.raw('create database faults owner service');
  await server.destroy();
  const url = new URL(clusterUrl);
  url.pathname = 'faults';
  return connect({ url: url.href, poolSize: 2 });
}

async function fill(tables: Pick<TestService, 'db' | 'pepper'>): Promise<Keys> {
  const { db } = tables;
  await db('users').insert({ id: 'ann' });
  await db('businesses').insert([{ id: '42' }, { id: 'other' }]);
  await db('business_members').insert(
    ['42', 'other'].map((id) => ({ business_id: id, user_id: 'ann', role: 'owner' })),
  );
  return {
    apiKey: await insertKey(tables, { id: 'k-ann', user_id: 'ann' }),
    restricted: await insertKey(tables, { id: 'k-restricted', user_id: 'ann' }, ['other']),
    callerToken: await insertCaller(tables, ['authorize']),
  };
}

/** The kind of question whose facts are in no cache: each time another key that nobody has. */
export const UNKNOWN_KEY = 2;

/** Allows, denials and batches in turn, from a stored caller and from the bootstrap caller. */
function questions(count: number, bootstrapToken: string, { apiKey, restricted, callerToken }: Keys): Asked[] {
  const about = (apiKey: string) => ({ apiKey, action: 'call:create', businessId: '42' });
  const one = (apiKey: string, code: string) => ({ path: '/authorize', body: about(apiKey), codes: [code] });
  const three = { requests: [about(apiKey), about(restricted), about('junk')] };
  const kinds = [
    one(apiKey, 'OK'),
    one(restricted, 'PERMISSION_DENIED'),
    one(createToken('apiKey'), 'INVALID_API_KEY'),
    { path: '/authorize/batch', body: three, codes: ['OK', 'PERMISSION_DENIED', 'INVALID_API_KEY'] },
    one(apiKey, 'OK'),
  ];
  return Array.from({ length: count }, (_, index) => {
    const { path, body, codes } = kinds[index % kinds.length] as (typeof kinds)[number];
    return { path, body: JSON.stringify(body), codes, token: index % 2 === 0 ? bootstrapToken : callerToken };
  });
}

async function put(
  clients: ChildProcess,
  asked: readonly Question[],
  whenSent?: () => unknown,
): Promise<readonly Reply[]> {
  clients.send(asked);
  for (;;) {
    const [told] = (await once(clients, 'message')) as [Told];
    if ('replies' in told) return told.replies;
    await whenSent?.();
  }
}

/** Unhandled rejections and uncaught exceptions, which mocha would blame on an unrelated test. */
function listenForStrays(): () => readonly unknown[] {
  const strays: unknown[] = [];
  const note = (error: unknown): void => void strays.push(error);
  process.on('unhandledRejection', note).on('uncaughtExceptionMonitor', note);
  return () => {
    process.off('unhandledRejection', note).off('uncaughtExceptionMonitor', note);
    return strays;
  };
}
