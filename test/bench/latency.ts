/**
 * How long an answer takes at half load: the 99th percentile, against that of a bare Koa at the same rate and what the disk needs
 * for two commits, since a record waits for the commit under way and then for its own.
 */

import { commitsAtRate, loneCommits, withUsedSegments } from './commits.ts';
import { about, bareQuestion, questionWithContext } from './data.ts';
import { type Bench, median, ofRounds } from './report.ts';
import { inTurns, loadFigure, ratios, runOnce, type Turn } from './turns.ts';
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
    await withUsedSegments(filling.db);
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
    const lone: number[] = [];
    const commits: number[] = [];
    const half = await inTurns(
      bench,
      world,
      { [names.koa]: atHalf(turns.koa), [names.ours]: atHalf(turns.ours), [names.again]: atHalf(turns.koa) },
      { rounds, milliseconds, warm: true },
      async () => {
        lone.push(await loneCommits(filling.url, commitMs));
        // Beside bare Koa, so that commits have to share the cores here, too.
        const beside = runOnce(bench, world, 'bare Koa beside commits', atHalf(turns.koa), milliseconds);
        commits.push(await commitsAtRate(filling.url, rate, milliseconds));
        await beside;
      },
    );
    for (const [name, measured] of Object.entries(half)) bench.load(loadFigure(name, measured));
    const p99 = (name: string): readonly number[] => half[name]?.p99 ?? [];
    const koaAnd = (more: readonly number[]): number[] =>
      p99(names.koa).map(
        (koa, round) => (koa + (p99(names.again)[round] ?? Number.NaN)) / 2 + (more[round] ?? Number.NaN),
      );
    const name = `p99 at ${Math.round(rate)} questions a second (half load)`;
    bench.figure({ name: 'p99 of a commit on this disk', unit: 'ms', ...ofRounds(lone) });
    bench.figure({ name: 'p99 of rows that come as fast, in commits', unit: 'ms', ...ofRounds(commits) });
    bench.figure({
      name,
      to: "bare Koa's and two commits'",
      unit: 'x',
      ...ofRounds(ratios(p99(names.ours), koaAnd(lone.map((ms) => 2 * ms)))),
      want: { atMost: 1 },
    });
    bench.figure({
      name,
      to: "bare Koa's and that of such rows",
      unit: 'x',
      ...ofRounds(ratios(p99(names.ours), koaAnd(commits))),
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
