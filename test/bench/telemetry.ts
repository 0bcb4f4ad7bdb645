/**
 * What traces cost a question: none, one in a hundred, all; and those that a caller does not record, whose ids are recorded. As microseconds of the process on a core, since PostgreSQL and
 * the load share the machine. BEFORE=FOLDER measures the build of that checkout beside them, such as one from before there were traces.
 */

import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { about, questionWithContext } from './data.ts';
import { type Bench, ofRounds } from './report.ts';
import { inTurns, loadFigure, type Rounds, ratios, type Turn } from './turns.ts';
import { questionsTo, type World, withWorld } from './world.ts';

/** Many short rounds: what is looked for is a few percent. */
const FULL = { rounds: 11, milliseconds: 1200 };
const SHORT = { rounds: 2, milliseconds: 600 };
const KEYS = 1000;
const TIMES = 20;
const UNRECORDED = 'traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00';

/** Registered as the section `telemetry`. */
export const benchTelemetry = (bench: Bench): Promise<void> =>
  withWorld(bench, async (world) => {
    const turns = await start(bench, world);
    const rounds: Record<string, Rounds> = await inTurns(bench, world, turns, bench.short ? SHORT : FULL);
    for (const [name, measured] of Object.entries(rounds)) bench.load(loadFigure(name, measured));
    const cpu = (name: string): readonly number[] => rounds[name]?.cpu['server'] ?? [];
    const toNone = (name: string, want?: { readonly atMost: number }): void => {
      const figure = { name: `CPU of a question, ${name}`, to: 'without traces', unit: 'x' };
      if (rounds[name]) bench.figure({ ...figure, ...ofRounds(ratios(cpu(name), cpu(NONE))), ...(want && { want }) });
    };
    toNone(BEFORE);
    toNone(SOME, { atMost: 1.05 });
    toNone(OTHERS);
    toNone(ALL);
  });

const NONE = 'without traces';
const BEFORE = 'the other build';
const SOME = '1 % traced';
const OTHERS = 'traces that the caller does not record';
const ALL = 'all traced';

async function start(bench: Bench, world: World): Promise<Record<string, Turn>> {
  const filling = await world.database('telemetry', KEYS);
  const bodies = await world.lines('questions', about(filling.asked, TIMES, questionWithContext));
  bench.progress('starting the servers');
  const endpoint = await startCollector(world);
  const traced = (sampler: string, share = '1') =>
    world.service(filling, {
      OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
      OTEL_TRACES_SAMPLER: sampler,
      OTEL_TRACES_SAMPLER_ARG: share,
    });
  const build = process.env['BEFORE'];
  const turn = (server: Turn['server'], ...headers: string[]): Turn => {
    const questions = questionsTo(server, bodies, filling);
    return { server, questions: { ...questions, headers: [...questions.headers, ...headers] } };
  };
  return {
    [NONE]: turn(await world.service(filling)),
    ...(build !== undefined && { [BEFORE]: turn(await world.service(filling, {}, { build })) }),
    [SOME]: turn(await traced('parentbased_traceidratio', '0.01')),
    [OTHERS]: turn(await traced('parentbased_always_off'), UNRECORDED),
    [ALL]: turn(await traced('always_on')),
  };
}

/** Takes what is sent, and reads none of it. */
async function startCollector({ endings }: World): Promise<string> {
  const server = createServer((request, response) => {
    request.resume().on('end', () => response.end());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  endings.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
