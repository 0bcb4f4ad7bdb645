/** The double of Kong: its plugin as shipped, in a real LuaJIT, by kong.lua beside this file. */

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { parse } from 'yaml';
import { ENVIRONMENT, ROOT } from '../support/cli.ts';
import { shipped } from '../support/gateways.ts';
import { type Double, type DoubleWiring, headersOf, type Outcome } from './doubles.ts';
import type { Asked } from './wire.ts';

export const hasLua = (): boolean => {
  try {
    execFileSync('luajit', ['-e', 'require "cjson" require "socket"'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
};

/** What kong.lua prints for a request. */
interface Line {
  readonly answer?: {
    readonly status: number;
    readonly body: string;
    readonly headers: Readonly<Record<string, string>>;
  };
  readonly passed?: Readonly<Record<string, string[]>>;
}

interface KongConfig {
  readonly plugins: readonly { readonly name: string; readonly config: Readonly<Record<string, unknown>> }[];
  readonly services: readonly { readonly routes: readonly { readonly strip_path: boolean }[] }[];
}

/** `upstreamOf`: the path that Kong would send on; as shipped, the client's. */
export function kongDouble(
  { authz, caller, patience }: DoubleWiring,
  upstreamOf = (target: string) => target.split('?')[0] ?? '',
): Double {
  const text = shipped('kong/kong.yml', [
    ['{vault://env/iqra-caller}', caller],
    ['http://127.0.0.1:8080', `http://127.0.0.1:${authz}`],
  ]);
  const { plugins, services } = parse(text) as KongConfig;
  if (services[0]?.routes[0]?.strip_path !== false) throw new Error('Kong strips paths unless it is told not to');
  const settings = { ...plugins[0]?.config, ...(patience > 1 && { timeout: 1000 * patience }) };
  const folder = path.join(ROOT, 'deploy', 'gateways', 'kong');
  const child = spawn('luajit', [path.join(import.meta.dirname, 'kong.lua'), folder, JSON.stringify(settings)], {
    env: ENVIRONMENT,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  process.once('exit', () => child.kill('SIGKILL'));
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();

  const ask = async (asked: Asked): Promise<Outcome> => {
    const { method = 'GET', target } = asked;
    const headers = Object.fromEntries(headersOf(asked));
    child.stdin.write(`${JSON.stringify({ method, target, headers, upstream: upstreamOf(target) })}\n`);
    const { value, done } = await lines.next();
    if (done) throw new Error('luajit has ended');
    const { answer, passed } = JSON.parse(value) as Line;
    if (!answer) return { passed: new Map(Object.entries(passed ?? {})) };
    return { answer: { ...answer, headers: new Headers(Object.entries(answer.headers)) } };
  };
  return {
    ask,
    close: async () => {
      const ended = once(child, 'exit');
      child.stdin.end();
      await ended;
    },
  };
}
