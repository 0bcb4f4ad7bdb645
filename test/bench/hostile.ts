/**
 * A client that has a token, beside those that have none and mean harm: how much slower are the slowest of its answers? It asks at
 * an even rate, in turns in calm and under an attack; a ratio is the median of the rounds' ratios.
 */

import { fork } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { attacks } from '../support/attacks.ts';
import type { Order } from './attacker.ts';
import { about, questionWithContext } from './data.ts';
import { type Bench, ofRounds } from './report.ts';
import { ratios } from './turns.ts';
import { questionsTo, withWorld } from './world.ts';

const FULL = { rounds: 5, milliseconds: 3000, idle: 10_000 };
const SHORT = { rounds: 3, milliseconds: 1000, idle: 2000 };
const KEYS = 1000;
const ASKED = { connections: 8, rate: 200 };
/** 10,000 connections that Node holds, and nothing else of note. */
const MOST_MB = 400;
/** How long an attack has been under way when the client begins to ask. */
const UNDER_WAY_MS = 200;

/** Registered as the section `hostile`. */
export const benchHostile = (bench: Bench): Promise<void> =>
  withWorld(bench, async (world) => {
    const { rounds, milliseconds, idle } = bench.short ? SHORT : FULL;
    const filling = await world.database('hostile', KEYS);
    const bodies = await world.lines('questions', about(filling.asked, 1, questionWithContext));
    // Besides those of the attack that holds as many as there may be by default.
    const server = await world.service(filling, { MAX_CONNECTIONS: '11000' });
    const load = questionsTo(server, bodies, filling, ASKED);
    const attacker = startAttacker();
    world.endings.push(attacker.end);
    const ask = () => world.generator.run({ ...load, milliseconds });
    await ask();
    const atFirst = await server.memory();
    let failed = 0;
    let most = 0;
    for (const attack of Object.keys(attacks(idle))) {
      const p99 = { calm: [] as number[], attacked: [] as number[] };
      for (let round = 0; round < rounds; round += 1) {
        const calm = await ask();
        await attacker.begin({ attack, address: `http://127.0.0.1:${server.port}`, idle });
        await sleep(UNDER_WAY_MS);
        const attacked = await ask();
        most = Math.max(most, (await server.memory()) - atFirst);
        await attacker.stop();
        failed += calm.failed + attacked.failed;
        p99.calm.push(calm.p99);
        p99.attacked.push(attacked.p99);
        bench.progress(`${attack}: p99 ${calm.p99.toFixed(1)} ms in calm, ${attacked.p99.toFixed(1)} ms under attack`);
      }
      bench.figure({
        name: `p99 beside ${attack}`,
        to: 'in calm',
        unit: 'x',
        ...ofRounds(ratios(p99.attacked, p99.calm)),
        want: { atMost: 3 },
      });
    }
    bench.figure({ name: 'questions that failed', value: failed, unit: '', want: { atMost: 0 } });
    bench.figure({ name: 'growth of resident memory', value: most, unit: 'MB', want: { atMost: MOST_MB } });
  });

function startAttacker() {
  const child = fork(path.join(import.meta.dirname, 'attacker.ts'), { execArgv: ['--import', 'tsx'] });
  const say = async (message: object): Promise<void> => {
    child.send(message);
    await once(child, 'message');
  };
  return {
    begin: (order: Order) => say({ order }),
    stop: () => say({}),
    end: () => child.disconnect(),
  };
}
