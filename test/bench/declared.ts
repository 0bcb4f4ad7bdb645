/**
 * What declared facts cost: `/authorize` of a policy that declares and uses 20 attributes, 10 networks of 10,000 prefixes and 5 schedules,
 * against the shipped policy over the same database, in turns; and the check of that policy.
 */

import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Knex } from 'knex';
import { buildPolicy } from '../../src/policy/policy.ts';
import { declaringMuch, MANY_ATTRIBUTES } from '../policy/declaring-much.ts';
import { shippedTexts } from '../policy/texts.ts';
import { type Asked, about, questionWithContext } from './data.ts';
import { type Bench, median, ofRounds } from './report.ts';
import { inTurns, loadFigure, type Rounds, ratios, type Turn } from './turns.ts';
import { questionsTo, type World, withWorld } from './world.ts';

const PREFIXES = 10_000;
const KEYS = 1000;
const TIMES = 20;
const FULL = { rounds: 9, milliseconds: 4000 };
const SHORT = { rounds: 3, milliseconds: 1000 };

/** Registered as the section `declared`. */
export async function benchDeclared(bench: Bench): Promise<void> {
  const texts = declaringMuch(await shippedTexts(), PREFIXES);
  await measureCheck(bench, texts);
  await withWorld(bench, (world) => measureWarm(bench, world, texts));
}

async function measureCheck({ short, figure, progress }: Bench, texts: ReadonlyMap<string, string>): Promise<void> {
  progress('checking the policy');
  const seconds: number[] = [];
  for (let round = 0; round < (short ? 1 : 5); round += 1) {
    const before = process.cpuUsage();
    const { findings } = await buildPolicy(texts);
    const { user, system } = process.cpuUsage(before);
    if (findings.length > 0) throw new Error(`the policy is refused: ${findings[0]?.message}`);
    seconds.push((user + system) / 1_000_000);
  }
  const name = 'check 20 attributes, 10 networks, 5 schedules, CPU';
  figure({ name, value: median(seconds), unit: 's', want: { atMost: 5 } });
}

async function measureWarm(bench: Bench, world: World, texts: ReadonlyMap<string, string>): Promise<void> {
  const filling = await world.database('declared', KEYS);
  await giveAttributes(filling.db);
  const bodies = await world.lines('questions', about(filling.asked, TIMES, fromAnywhere));
  const policies = path.join(world.folder, 'policies');
  await writeFolder(policies, texts);
  bench.progress('starting the servers');
  const turn = async (environment: Record<string, string>): Promise<Turn> => {
    const server = await world.service(filling, environment);
    return { server, questions: questionsTo(server, bodies, filling) };
  };
  const turns = { shipped: await turn({}), declared: await turn({ POLICY_DIR: policies }) };
  const { shipped, declared } = await inTurns(bench, world, turns, bench.short ? SHORT : FULL);
  bench.load(loadFigure('the shipped policy', shipped));
  bench.load(loadFigure('all of these declared and used', declared));
  bench.figure({
    name: 'warm, all of these declared and used',
    to: 'the shipped policy',
    unit: 'x',
    ...ofRounds(ratios(declared.rates, shipped.rates)),
    want: { atLeast: 0.95 },
  });
  const cpu = ({ cpu }: Rounds): number[] =>
    (cpu['server'] ?? []).map((server, round) => server + (cpu['PostgreSQL']?.[round] ?? Number.NaN));
  bench.figure({
    name: 'time on a core with PostgreSQL',
    to: 'the shipped policy',
    unit: 'x',
    ...ofRounds(ratios(cpu(declared), cpu(shipped))),
  });
}

async function writeFolder(folder: string, texts: ReadonlyMap<string, string>): Promise<void> {
  await mkdir(path.join(folder, 'cases'), { recursive: true });
  for (const [name, text] of texts) await writeFile(path.join(folder, name), text);
}

/** All of them `on`. */
async function giveAttributes(db: Knex): Promise<void> {
  const on = (names: readonly string[]): string =>
    JSON.stringify(Object.fromEntries(names.map((name) => [name, 'on'])));
  await db('api_keys').update({ attributes: on(MANY_ATTRIBUTES.key) });
  await db('users').update({ attributes: on(MANY_ATTRIBUTES.user) });
  await db('businesses').update({ attributes: on(MANY_ATTRIBUTES.business) });
}

/** Each from an address of its own, half of them within a network. */
const fromAnywhere = (asked: Asked, n: number): object => ({
  ...questionWithContext(asked, n),
  context: { ip: `${10 + (n % 2) * 100}.1.${(n >> 8) & 255}.${n & 255}` },
});
