/**
 * Many keys: what each costs that the process has not seen, what it costs to keep, and how much slower the rest becomes. Every
 * key is of a database of a million.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import type { Knex } from 'knex';
import { about, bareQuestion, questionWithContext } from './data.ts';
import { type Bench, ofRounds } from './report.ts';
import { addTo, inTurns, loadFigure, noRounds, ratios, runOnce, type Turn } from './turns.ts';
import { questionsTo, replyTo, type World, withWorld } from './world.ts';

const FULL = { keys: 1_000_000, inUse: 100_000, rounds: 7, milliseconds: 2500 };
const SHORT = { keys: 50_000, inUse: 5000, rounds: 2, milliseconds: 600 };
const FEW = 1000;
const TIMES = 20;

interface Turns {
  readonly koa: Turn;
  readonly few: Turn;
  readonly many: Turn;
}

/** Registered as the section `keys`. */
export const benchKeys = (bench: Bench): Promise<void> =>
  withWorld(bench, async (world) => {
    const size = bench.short ? SHORT : FULL;
    const filling = await world.database('keys', size.keys, size.inUse);
    const { asked } = filling;
    const many = await world.lines('many', about(asked, 1, questionWithContext));
    const few = await world.lines('few', about(asked.slice(0, FEW), TIMES, questionWithContext));
    bench.progress('starting the servers');
    const [serviceOfMany, serviceOfFew] = await Promise.all([
      world.service(filling, {}, { probe: true }),
      world.service(filling),
    ]);
    const [first = { apiKey: '', businessId: '' }] = asked;
    const koa = await world.bare('koa', await replyTo(serviceOfFew, filling, JSON.stringify(bareQuestion(first))));
    const turns: Turns = {
      koa: { server: koa, questions: questionsTo(koa, few, filling) },
      few: { server: serviceOfFew, questions: questionsTo(serviceOfFew, few, filling) },
      many: { server: serviceOfMany, questions: questionsTo(serviceOfMany, many, filling) },
    };
    await measureCold(bench, world, turns, size, filling.db);
    await measureWarm(bench, world, turns, size);
  });

/** Every question is about a key that the process has not seen: the keys in use are asked about in slices, once each. */
async function measureCold(
  bench: Bench,
  world: World,
  { koa, many }: Turns,
  { inUse, rounds, milliseconds }: typeof FULL,
  db: Knex,
): Promise<void> {
  const count = Math.floor(inUse / (rounds + 1));
  const slice = (round: number): Turn => ({
    ...many,
    questions: { ...many.questions, from: round * count, count, once: true },
  });
  // For the process, which is compiled by then, and has its connections.
  await runOnce(bench, world, 'cold (warm-up)', slice(0), 120_000);
  await runOnce(bench, world, 'bare Koa (warm-up)', koa, milliseconds);
  const before = { heap: await many.server.heap(), transactions: await transactions(db) };
  const cold = noRounds();
  const bare = noRounds();
  for (let round = 1; round <= rounds; round += 1) {
    addTo(cold, await runOnce(bench, world, `cold (${round} of ${rounds})`, slice(round), 120_000));
    addTo(bare, await runOnce(bench, world, `bare Koa (${round} of ${rounds})`, koa, 1000));
  }
  const asked = count * rounds;
  const spent = {
    heap: (await many.server.heap()) - before.heap,
    transactions: (await transactions(db)) - before.transactions,
  };
  bench.load(loadFigure('cold: every question another key', cold));
  bench.figure({
    name: 'cold: every question another key',
    to: 'bare Koa',
    unit: 'x',
    ...ofRounds(ratios(cold.rates, bare.rates)),
    want: { atLeast: 0.4 },
  });
  bench.figure({
    name: 'transactions a cold question, its record included',
    value: spent.transactions / asked,
    unit: '',
    want: { atMost: 1.3 },
  });
  bench.figure({ name: 'memory of a key that was asked about', value: spent.heap / asked, unit: 'bytes' });
}

/** Transactions in the database so far, as its backends have told: each does so at most once a second. */
async function transactions(db: Knex): Promise<number> {
  await sleep(1500);
  const { rows } = await db.raw<{ rows: { count: string }[] }>(
    'select xact_commit as count from pg_stat_database where datname = current_database()',
  );
  return Number(rows[0]?.count);
}

async function measureWarm(
  bench: Bench,
  world: World,
  { few, many }: Turns,
  { inUse, rounds, milliseconds }: typeof FULL,
): Promise<void> {
  const each = { ...many, questions: { ...many.questions, once: true } };
  await runOnce(bench, world, `each of ${inUse} keys`, each, 120_000);
  const names = { few: `${FEW} keys in use`, many: `${inUse} keys in use` };
  const warm = await inTurns(bench, world, { [names.few]: few, [names.many]: many }, { rounds, milliseconds });
  const rates = (name: string): readonly number[] => warm[name]?.rates ?? [];
  bench.figure({
    name: names.many,
    to: String(FEW),
    unit: 'x',
    ...ofRounds(ratios(rates(names.many), rates(names.few))),
    want: { atLeast: 0.95 },
  });
  const megabytes = await many.server.memory();
  bench.figure({ name: `resident memory, ${names.many}`, value: megabytes, unit: 'MB', want: { atMost: 400 } });
  for (const [name, rounds] of Object.entries(warm)) bench.load(loadFigure(name, rounds));
}
