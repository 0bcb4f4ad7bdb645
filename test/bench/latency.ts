/**
 * How long an answer takes at half load: the 99th percentile, against that of a bare Koa at the same rate and what the disk needs
 * for two commits, since a record waits for the commit under way and then for its own.
 */

import pg from 'pg';
import { about, bareQuestion, questionWithContext } from './data.ts';
import { type Bench, median, ofRounds } from './report.ts';
import { inTurns, loadFigure, ratios, type Turn } from './turns.ts';
import { questionsTo, replyTo, withWorld } from './world.ts';

const FULL = { rounds: 5, milliseconds: 3000, commitMs: 1500 };
const SHORT = { rounds: 2, milliseconds: 600, commitMs: 300 };
const KEYS = 1000;
const TIMES = 20;

/** Registered as the section `latency`. */
export const benchLatency = (bench: Bench): Promise<void> =>
  withWorld(bench, async (world) => {
    const { rounds, milliseconds, commitMs } = bench.short ? SHORT : FULL;
    const filling = await world.database('latency', KEYS);
    const bodies = await world.lines('many', about(filling.asked, TIMES, questionWithContext));
    const [first = { apiKey: '', businessId: '' }] = filling.asked;
    const service = await world.service(filling);
    const koa = await world.bare('koa', await replyTo(service, filling, JSON.stringify(bareQuestion(first))));
    const turns = {
      koa: { server: koa, questions: questionsTo(koa, bodies, filling) },
      ours: { server: service, questions: questionsTo(service, bodies, filling) },
    };

    const full = await inTurns(bench, world, turns, { rounds: 1, milliseconds });
    const rate = Math.min(median(full.koa.rates), median(full.ours.rates)) / 2;
    const atHalf = ({ questions, ...turn }: Turn): Turn => ({ ...turn, questions: { ...questions, rate } });
    const names = { koa: 'bare Koa at half load', ours: 'at half load', again: 'bare Koa again at half load' };
    const commits: number[] = [];
    const half = await inTurns(
      bench,
      world,
      { [names.koa]: atHalf(turns.koa), [names.ours]: atHalf(turns.ours), [names.again]: atHalf(turns.koa) },
      { rounds, milliseconds, warm: true },
      async () => void commits.push(await commitP99(filling.url, commitMs)),
    );
    for (const [name, measured] of Object.entries(half)) bench.load(loadFigure(name, measured));
    const p99 = (name: string): readonly number[] => half[name]?.p99 ?? [];
    const allowed = p99(names.koa).map(
      (koa, round) => (koa + (p99(names.again)[round] ?? Number.NaN)) / 2 + 2 * (commits[round] ?? Number.NaN),
    );
    bench.figure({ name: 'p99 of a commit on this disk', unit: 'ms', ...ofRounds(commits) });
    bench.figure({
      name: `p99 at ${Math.round(rate)} questions a second (half load)`,
      to: "bare Koa's and two commits'",
      unit: 'x',
      ...ofRounds(ratios(p99(names.ours), allowed)),
      want: { atMost: 1 },
    });
    bench.figure({
      name: 'p99 at half load',
      to: "bare Koa's",
      unit: 'x',
      ...ofRounds(ratios(p99(names.ours), p99(names.koa), p99(names.again))),
    });
    bench.figure({
      name: 'p99 of bare Koa again (the noise of this run)',
      to: 'of bare Koa',
      unit: 'x',
      ...ofRounds(ratios(p99(names.again), p99(names.koa))),
    });
  });

/** Milliseconds, of lone rows that are committed one after the other for a while. */
async function commitP99(url: string, milliseconds: number): Promise<number> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query('create table if not exists commits (n int, filler text)');
    const times: number[] = [];
    for (const end = performance.now() + milliseconds; performance.now() < end; ) {
      const since = performance.now();
      await client.query({ name: 'commit', text: "insert into commits values (1, repeat('x', 500))" });
      times.push(performance.now() - since);
    }
    return times.sort((a, b) => a - b)[Math.floor(0.99 * (times.length - 1))] ?? Number.NaN;
  } finally {
    await client.end();
  }
}
