/**
 * Three processes on one database; subjects, each of which loses its access in some way; and watchers that ask each process
 * about all of them at a constant rate (an open loop: also while a process does not answer).
 */

import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import type { Knex } from 'knex';
import { createToken, digestOf } from '../../src/credentials/token.ts';
import { connect } from '../../src/db/connect.ts';
import { mutate } from '../../src/db/mutate.ts';
import { revokeCaller } from '../../src/directory/callers.ts';
import { killProcesses, type ServiceProcess, settingsOf, startProcess } from '../http/process.ts';
import { type Cluster, startCluster } from '../support/cluster.ts';
import { declaringFolder, GRANTED } from '../support/declaring.ts';
import { keyColumns, type TestService } from '../support/service.ts';

/** Ways to lose access: the request to one of the processes. A caller is revoked from outside, as the CLI does it. */
const WAYS: readonly ((n: string) => readonly [method: string, path: string, body?: object] | undefined)[] = [
  (n) => ['POST', `/keys/k-${n}/revoke`, {}],
  (n) => ['PUT', `/users/u-${n}`, { disabled: true }],
  (n) => ['PUT', `/businesses/b-${n}`, { disabled: true }],
  (n) => ['PATCH', `/keys/k-${n}`, { restrictedBusinessIds: [`o-${n}`] }],
  () => undefined,
  (n) => ['DELETE', `/businesses/b-${n}/members/u-${n}`],
  (n) => ['POST', `/users/u-${n}/revoke-keys`, {}],
  (n) => ['DELETE', `/keys/k-${n}`],
  (n) => ['POST', '/freezes', { businessId: `b-${n}`, forSeconds: 3600, reason: 'An incident.' }],
  (n) => ['PUT', `/users/u-${n}`, { businessesDisabled: true }],
  (n) => ['PUT', `/users/u-${n}`, { attributes: { plan: 'free' } }],
  (n) => ['PUT', `/businesses/b-${n}`, {}],
  (n) => ['PATCH', `/keys/k-${n}`, { attributes: { can: ['recordings'] } }],
  (n) => ['PUT', `/businesses/b-${n}/members/u-${n}`, { role: 'viewer' }],
];

export interface Subject {
  readonly n: string;
  readonly way: number;
  readonly apiKey: string;
  /** The token of the caller that asks about it. */
  readonly token: string;
  /** Monotonic milliseconds before and after the request that ended its access, and the process that served it. */
  endingAt: number;
  endedAt: number;
  endedBy: number | undefined;
  /** For each process, when the last request started that it allowed. */
  readonly lastAllow: number[];
  allows: number;
  /** Denials before its access ended: a failure of the test. */
  early: number;
}

export interface Answer {
  readonly status: number;
  readonly text: string;
}

export interface World {
  readonly cluster: Cluster;
  readonly db: Knex;
  readonly processes: readonly ServiceProcess[];
  readonly token: string;
  /** Makes `count` subjects with access to their businesses. */
  readonly subjects: (count: number) => Promise<Subject[]>;
  /** Ends the subject's access through that process. */
  readonly revoke: (subject: Subject, process: number) => Promise<void>;
  /** Sends a request to that process, as the bootstrap caller. Its status is 0 where there was no answer. */
  readonly call: (process: number, method: string, path: string, body?: object) => Promise<Answer>;
  /** Opens connections to that process in advance, so that it reads requests sent while it is stopped before anything else. */
  readonly connect: (process: number) => Promise<void>;
  /** Asks about the subjects until `stop` is called, which resolves once all requests are answered. */
  readonly watch: (subjects: readonly Subject[]) => { readonly stop: () => Promise<void> };
  readonly close: () => Promise<void>;
}

/** Milliseconds between two questions, which go to the processes round-robin. */
const PACE_MS = 40;
/** Questions in flight per process, at most: on a slow machine more would only queue. */
export const MOST_UNDER_WAY = 100;

export async function startWorld(): Promise<World> {
  const cluster = await startCluster();
  const policies = await declaringFolder();
  const pepper = { id: 'test', secret: randomBytes(32) };
  const token = randomBytes(16).toString('hex');
  const settings = {
    ...settingsOf({ pepper, token } as TestService, cluster.url),
    DECISION_DEADLINE_MS: '2000',
    POLICY_DIR: policies,
    LOG_LEVEL: 'info',
  };
  const jumping = { NODE_OPTIONS: `--import=${new URL('revocation-clock.mjs', import.meta.url).href}` };
  // The first one alone, since it applies the migrations.
  const first = await startProcess(settings);
  const others = await Promise.all([startProcess(settings), startProcess({ ...settings, ...jumping })]);
  const processes: readonly ServiceProcess[] = [first, ...others];
  const db = connect({ url: cluster.url, poolSize: 3 });
  const agents = processes.map(() => new Agent({ keepAlive: true, maxSockets: 200 }));
  let made = 0;

  const post = (process: number, method: string, path: string, body: object | undefined, as: string) =>
    send(agents[process] as Agent, `${processes[process]?.address}${path}`, method, body, as);

  return {
    cluster,
    db,
    processes,
    token,
    subjects: async (count) => {
      const subjects = Array.from({ length: count }, (_, index): Subject => {
        made += 1;
        return {
          n: String(made),
          way: index % WAYS.length,
          apiKey: createToken('apiKey'),
          token: createToken('caller'),
          endingAt: Number.POSITIVE_INFINITY,
          endedAt: Number.POSITIVE_INFINITY,
          endedBy: undefined,
          lastAllow: [],
          allows: 0,
          early: 0,
        };
      });
      await insert(db, pepper, subjects);
      return subjects;
    },
    revoke: async (subject, process) => {
      const asked = WAYS[subject.way]?.(subject.n);
      subject.endingAt = performance.now();
      if (asked) {
        const [method, path, body] = asked;
        const { status, text } = await post(process, method, path, body, token);
        expect(status, `${method} ${path} ${text}`).to.be.within(200, 204);
        subject.endedBy = process;
      } else await revokeCaller(db, { id: 'test' }, `c-${subject.n}`);
      subject.endedAt = performance.now();
    },
    call: (process, method, path, body) => post(process, method, path, body, token),
    connect: async (process) => {
      const asked = Array.from({ length: MOST_UNDER_WAY }, () => post(process, 'GET', '/healthz', undefined, token));
      await Promise.all(asked);
    },
    watch: (subjects) => {
      let stopped = false;
      const underWay = processes.map(() => new Set<Promise<void>>());
      const begin = (process: number, asked: Promise<void>): void => {
        const set = underWay[process];
        set?.add(asked);
        void asked.finally(() => set?.delete(asked));
      };
      const ask = async (process: number, about: readonly Subject[], as: string): Promise<void> => {
        const requests = about.map(({ apiKey, n }) => ({ apiKey, action: 'sms:send', businessId: `b-${n}` }));
        const startedAt = performance.now();
        const { status, text } = await post(process, 'POST', '/authorize/batch', { requests }, as);
        if (status !== 200) return;
        const { decisions } = (JSON.parse(text) as { Data: { decisions: { Code: string }[] } }).Data;
        for (const [index, subject] of about.entries()) {
          if (decisions[index]?.Code !== 'OK') {
            if (performance.now() < subject.endingAt) subject.early += 1;
            continue;
          }
          subject.allows += 1;
          subject.lastAllow[process] = Math.max(subject.lastAllow[process] ?? 0, startedAt);
        }
      };
      const byCaller = subjects.filter(({ way }) => !WAYS[way]?.(''));
      const others = subjects.filter((subject) => !byCaller.includes(subject));
      const pace = (async () => {
        for (let tick = 0; !stopped; tick += 1) {
          const process = tick % processes.length;
          if ((underWay[process]?.size ?? 0) < MOST_UNDER_WAY) {
            for (const subject of byCaller) begin(process, ask(process, [subject], subject.token));
            begin(process, ask(process, others, token));
          }
          await sleep(PACE_MS);
        }
      })();
      return {
        stop: async () => {
          stopped = true;
          await pace;
          await Promise.all(underWay.flatMap((set) => [...set]));
        },
      };
    },
    close: async () => {
      for (const { child } of processes) child.kill('SIGCONT');
      for (const agent of agents) agent.destroy();
      killProcesses();
      await db.destroy();
      await cluster.close();
      await rm(policies, { recursive: true });
    },
  };
}

function send(agent: Agent, url: string, method: string, body: object | undefined, token: string): Promise<Answer> {
  return new Promise((resolve) => {
    const text = body && JSON.stringify(body);
    const headers = {
      authorization: `Bearer ${token}`,
      ...(text !== undefined && { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
    };
    const failed = (error: Error): void => resolve({ status: 0, text: error.message });
    request(url, { method, agent, headers })
      .once('error', failed)
      .once('response', (incoming) => {
        let got = '';
        incoming.setEncoding('utf8').on('data', (chunk: string) => {
          got += chunk;
        });
        incoming.once('error', failed).once('end', () => resolve({ status: incoming.statusCode ?? 0, text: got }));
      })
      .end(text);
  });
}

async function insert(db: Knex, pepper: { id: string; secret: Buffer }, subjects: readonly Subject[]): Promise<void> {
  await db('users').insert(subjects.map(({ n }) => ({ id: `u-${n}`, attributes: GRANTED.user })));
  const businesses = subjects.flatMap(({ n }) => [`b-${n}`, `o-${n}`].map((id) => ({ id, n })));
  await db('businesses').insert(businesses.map(({ id }) => ({ id, attributes: GRANTED.business })));
  await db('business_members').insert(
    businesses.map(({ id, n }) => ({ business_id: id, user_id: `u-${n}`, role: 'member' })),
  );
  await db('api_keys').insert(
    subjects.map(({ n, apiKey }) => ({
      id: `k-${n}`,
      user_id: `u-${n}`,
      ...keyColumns(pepper, apiKey),
      attributes: GRANTED.key,
    })),
  );
  const scopes = ['authorize'];
  const callers = subjects.map(({ n, token }) => ({
    id: `c-${n}`,
    name: n,
    digest: digestOf(pepper, token),
    pepper_id: pepper.id,
    scopes,
  }));
  await mutate(db, { id: 'test' }, async (trx) => {
    await trx('callers').insert(callers);
    const changes = callers.map(({ id, digest }) => ({ kind: 'caller', id, digest }) as const);
    return { result: undefined, events: [], changes };
  });
}
