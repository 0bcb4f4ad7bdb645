/**
 * The same question to Cerbos, an authorization service that keeps no facts: they are sent along. Its audit log off, and on: a
 * file, which it writes behind its answers.
 */

import { spawn } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../support/redis.ts';
import { CERBOS, cerbosProgram, hasCerbos } from './cerbos-program.ts';
import { about, bareQuestion } from './data.ts';
import { BASIC, type ServerProcess, serverOf } from './processes.ts';
import { type Bench, ofRounds } from './report.ts';
import { inTurns, loadFigure, ratios, type Turn } from './turns.ts';
import { CONNECTIONS, questionsTo, replyTo, type World, withWorld } from './world.ts';

const FULL = { rounds: 5, milliseconds: 2500 };
const SHORT = { rounds: 2, milliseconds: 600 };
const START_MS = 30_000;
const ALLOW = '"EFFECT_ALLOW"';

/** The rows of policies/, in CEL: what each of them denies, or allows, and for which actions. */
const RULES: readonly (readonly [effect: 'DENY' | 'ALLOW', action: string, when: string])[] = [
  ['DENY', '*', "P.attr.keyStatus != 'active'"],
  ['DENY', '*', "P.attr.userStatus == 'unknown'"],
  ['DENY', '*', "P.attr.userStatus == 'disabled'"],
  ['DENY', '*', 'P.attr.limitExceeded'],
  ['DENY', 'user:*', '!P.attr.userManagement'],
  ['DENY', '*', "R.attr.status != 'none' && !R.attr.inRestriction"],
  ['DENY', '*', "R.attr.status != 'none' && (R.attr.role == 'none' || R.attr.role == 'other')"],
  ['DENY', 'call:*', "R.attr.status == 'none'"],
  ['DENY', '*', 'P.attr.frozen'],
  ['DENY', '*', "R.attr.status == 'disabled'"],
  ['DENY', '*', "R.attr.status != 'none' && P.attr.businesses == 'disabled'"],
  ['ALLOW', '*', "R.attr.status == 'none'"],
  [
    'ALLOW',
    '*',
    "R.attr.status == 'active' && (R.attr.role == 'owner' || R.attr.role == 'member') && R.attr.inRestriction",
  ],
];

const POLICY = {
  apiVersion: 'api.cerbos.dev/v1',
  resourcePolicy: {
    version: 'default',
    resource: 'business',
    rules: RULES.map(([effect, action, expr]) => ({
      actions: [action],
      effect: `EFFECT_${effect}`,
      roles: ['key'],
      condition: { match: { expr } },
    })),
  },
};

const question = (userStatus: 'active' | 'disabled'): string =>
  JSON.stringify({
    principal: {
      id: 'key-0',
      roles: ['key'],
      attr: {
        keyStatus: 'active',
        userId: 'user-0',
        userStatus,
        businesses: 'active',
        userManagement: false,
        environment: 'production',
        limitExceeded: false,
        frozen: false,
      },
    },
    resources: [
      {
        actions: ['call:create'],
        resource: {
          kind: 'business',
          id: 'business-0',
          attr: { status: 'active', role: 'owner', inRestriction: true },
        },
      },
    ],
  });

/** Registered as the section `cerbos`. */
export async function benchCerbos(bench: Bench): Promise<void> {
  const name = `Cerbos ${CERBOS.version}`;
  if (bench.short && !hasCerbos()) return bench.skip(name, 'a short run does not fetch it');
  bench.progress(`fetching ${name}, unless it is there`);
  let program: string;
  try {
    program = await cerbosProgram();
  } catch (error) {
    return bench.skip(name, `it cannot be fetched: ${(error as Error).message.split('\n')[0]}`);
  }
  await withWorld(bench, (world) => compare(bench, world, name, program));
}

async function compare(bench: Bench, world: World, name: string, program: string): Promise<void> {
  const filling = await world.database('cerbos', 1000);
  const [first = { apiKey: '', businessId: '' }] = filling.asked;
  const one = await world.lines('one', about([first], 1, bareQuestion));
  const withFacts = await world.lines('facts', [question('active')]);
  const service = await world.service(filling);
  const koa = await world.bare('koa', await replyTo(service, filling, JSON.stringify(bareQuestion(first))));
  const [off, on] = [await startCerbos(world, program, 'off'), await startCerbos(world, program, 'on')];
  const cerbos = (server: ServerProcess): Turn => ({
    server,
    questions: {
      port: server.port,
      connections: CONNECTIONS,
      line: 'POST /api/check/resources',
      headers: ['Content-Type: application/json', 'Accept: application/json'],
      bodies: withFacts,
      expect: ALLOW,
    },
  });
  const names = { off: `${name}, no audit log`, on: `${name}, audit log in a file`, koa: 'bare Koa, beside Cerbos' };
  const ours = 'one key, beside Cerbos';
  const turns: Record<string, Turn> = {
    [names.koa]: { server: koa, questions: questionsTo(koa, one, filling) },
    [ours]: { server: service, questions: questionsTo(service, one, filling) },
    [names.off]: cerbos(off),
    [names.on]: cerbos(on),
  };
  const all: Record<string, Awaited<ReturnType<typeof inTurns>>[string]> = await inTurns(
    bench,
    world,
    turns,
    bench.short ? SHORT : FULL,
  );
  for (const [title, rounds] of Object.entries(all)) bench.load(loadFigure(title, rounds));
  const rates = (title: string): readonly number[] => all[title]?.rates ?? [];
  for (const title of [names.off, names.on]) {
    bench.figure({ name: title, to: 'bare Koa', unit: 'x', ...ofRounds(ratios(rates(title), rates(names.koa))) });
    bench.figure({
      name: 'one key, log on',
      to: title,
      unit: 'x',
      ...ofRounds(ratios(rates(ours), rates(title))),
      want: { atLeast: 4 },
    });
  }
}

/** @throws Error where it does not start, or does not decide as our policy does */
async function startCerbos(world: World, program: string, audit: 'off' | 'on'): Promise<ServerProcess> {
  const folder = path.join(world.folder, `cerbos-${audit}`);
  const policies = path.join(folder, 'policies');
  await mkdir(policies, { recursive: true });
  await writeFile(path.join(policies, 'business.json'), JSON.stringify(POLICY));
  const port = await freePort();
  const config = {
    server: { httpListenAddr: `127.0.0.1:${port}`, grpcListenAddr: `127.0.0.1:${await freePort()}` },
    storage: { driver: 'disk', disk: { directory: policies, watchForChanges: false } },
    telemetry: { disabled: true },
    audit: { enabled: audit === 'on', backend: 'file', file: { path: path.join(folder, 'audit.log') } },
  };
  // JSON is YAML.
  const file = path.join(folder, 'config.yaml');
  await writeFile(file, JSON.stringify(config));
  const child = spawn(program, ['server', `--config=${file}`, '--log-level=error'], {
    env: BASIC,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const server = serverOf(child, port);
  world.endings.push(server.stop);
  for (const giveUpAt = performance.now() + START_MS; !(await effectOf(port, 'active')); await sleep(50))
    if (child.exitCode !== null || performance.now() > giveUpAt) throw new Error('Cerbos does not start');
  const effects = [await effectOf(port, 'active'), await effectOf(port, 'disabled')].join();
  if (effects !== 'EFFECT_ALLOW,EFFECT_DENY') throw new Error(`Cerbos decides otherwise: ${effects}`);
  return server;
}

/** undefined while it does not answer. */
async function effectOf(port: number, userStatus: 'active' | 'disabled'): Promise<string | undefined> {
  const response = await fetch(`http://127.0.0.1:${port}/api/check/resources`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: question(userStatus),
  }).catch(() => undefined);
  return /EFFECT_\w+/.exec((await response?.text()) ?? '')?.[0];
}
