/**
 * Replicas behind what a balancer is: it asks each for /readyz, and sends requests, one after the other, to those that are ready. It tries
 * nothing a second time, so any failure is seen.
 */

import { Agent, request } from 'node:http';
import { type ServiceProcess, startProcess } from '../http/process.ts';

export interface Replica extends ServiceProcess {
  /** The folder of its version. */
  readonly root: string;
  /** As of the last look. */
  ready: boolean;
}

export interface Answer {
  /** 0: none came. */
  readonly status: number;
  readonly body: {
    readonly Success?: boolean;
    readonly Code?: string;
    readonly Data?: { readonly decisionId?: string };
  };
}

export interface Fleet {
  readonly replicas: readonly Replica[];
  /** Starts one of the version in `root`; resolves once it is ready. */
  readonly add: (root: string) => Promise<Replica>;
  /** Ends one as a process manager does. */
  readonly end: (replica: Replica) => Promise<void>;
  /** The next one that is ready. */
  readonly next: () => Replica;
  readonly send: (replica: Replica, method: string, path: string, body?: object) => Promise<Answer>;
  readonly close: () => Promise<void>;
}

const LOOK_MS = 100;

export function createFleet(settings: Record<string, string>, token: string): Fleet {
  let replicas: readonly Replica[] = [];
  let turn = 0;
  const agent = new Agent({ keepAlive: true });

  const send = ({ address }: Replica, method: string, path: string, body?: object): Promise<Answer> =>
    new Promise((resolve) => {
      const failed = (error: Error): void => resolve({ status: 0, body: { Code: error.message } });
      const headers = { authorization: `Bearer ${token}`, ...(body && { 'content-type': 'application/json' }) };
      const sent = request(address + path, { method, agent, headers }, (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => (text += chunk));
        response.on('error', failed);
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, body: text === '' ? {} : JSON.parse(text) }),
        );
      });
      sent.on('error', failed);
      sent.end(body && JSON.stringify(body));
    });

  const look = async (replica: Replica): Promise<void> => {
    replica.ready = (await send(replica, 'GET', '/readyz')).status === 200;
  };
  let looking: Promise<unknown> = Promise.resolve();
  const looks = setInterval(() => {
    looking = Promise.all(replicas.map(look));
  }, LOOK_MS);

  return {
    get replicas() {
      return replicas;
    },
    add: async (root) => {
      const replica: Replica = { ...(await startProcess(settings, root)), root, ready: false };
      while (!replica.ready) await look(replica);
      replicas = [...replicas, replica];
      return replica;
    },
    end: async (replica) => {
      replica.child.kill('SIGTERM');
      await replica.exit;
      replicas = replicas.filter((each) => each !== replica);
    },
    next: () => {
      turn += 1;
      const ready = replicas.filter((replica) => replica.ready);
      const replica = ready[turn % ready.length];
      if (!replica) throw new Error('no replica is ready');
      return replica;
    },
    send,
    close: async () => {
      clearInterval(looks);
      await looking;
      for (const { child } of replicas) child.kill('SIGTERM');
      await Promise.all(replicas.map(({ exit }) => exit));
      agent.destroy();
    },
  };
}
