/** nginx that asks about each request by our recipe, against nginx that does not: both before the same bare Koa. */

import { execFileSync } from 'node:child_process';
import { cp, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { ROOT } from '../support/cli.ts';
import { type Gateway, startGateway, versionOf } from '../support/gateways.ts';
import { about, bareQuestion } from './data.ts';
import { cpuSecondsOf } from './processes.ts';
import { type Bench, ofRounds } from './report.ts';
import { inTurns, loadFigure, ratios, type Turn } from './turns.ts';
import { CONNECTIONS, replyTo, withWorld } from './world.ts';

const FULL = { rounds: 5, milliseconds: 2500 };
const SHORT = { rounds: 2, milliseconds: 600 };
/** What the bare Koa answers, which is what is asked for here, too. */
const ROUTES =
  'routes: [{ methods: [POST], path: /authorize, action: "call:create", business: { header: X-Business } }]\n';
const [ASKING, ALONE] = ['nginx that asks', 'nginx alone'];

/** Registered as the section `gateways`. */
export function benchGateways(bench: Bench): Promise<void> {
  if (versionOf('nginx') === undefined) {
    bench.skip(ASKING, 'nginx is not installed');
    return Promise.resolve();
  }
  return withWorld(bench, async (world) => {
    const policies = path.join(world.folder, 'routed');
    await cp(path.join(ROOT, 'policies'), policies, { recursive: true });
    await writeFile(path.join(policies, 'gateway.yaml'), ROUTES);
    const filling = await world.database('gateways', 100);
    const [first = { apiKey: '', businessId: '' }] = filling.asked;
    const service = await world.service(filling, { POLICY_DIR: policies });
    const koa = await world.bare('koa', await replyTo(service, filling, JSON.stringify(bareQuestion(first))));
    const bodies = await world.lines('one', about([first], 1, bareQuestion));
    const wiring = { authz: service.port, app: koa.port, caller: filling.token, patient: true };

    const turn = async (asks: boolean): Promise<Turn> => {
      const gateway = await startGateway('nginx', { ...wiring, asks });
      world.endings.push(gateway.close);
      const nginx = workerOf(gateway);
      return {
        server: koa,
        others: {
          nginx: () => cpuSecondsOf(nginx),
          ...(asks && { 'iqra-authz': service.cpuSeconds }),
        },
        questions: {
          port: Number(new URL(gateway.address).port),
          connections: CONNECTIONS,
          line: 'POST /authorize',
          headers: [
            `Authorization: Token ${first.apiKey}`,
            `X-Business: ${first.businessId}`,
            'Content-Type: application/json',
          ],
          bodies,
        },
      };
    };
    const turns = { [ALONE]: await turn(false), [ASKING]: await turn(true) };
    const rounds = await inTurns(bench, world, turns, bench.short ? SHORT : FULL);
    for (const [name, measured] of Object.entries(rounds)) bench.load(loadFigure(name, measured));
    const rates = (name: string): readonly number[] => rounds[name]?.rates ?? [];
    bench.figure({
      name: ASKING,
      to: ALONE,
      unit: 'x',
      ...ofRounds(ratios(rates(ASKING), rates(ALONE))),
      want: { atLeast: 0.5 },
    });
  });
}

/** Its one worker, which does all the work. */
const workerOf = ({ pid }: Gateway): number =>
  Number(execFileSync('ps', ['-o', 'pid=', '--ppid', String(pid)], { encoding: 'utf8' }));
