/**
 * The recipes of docs/policies.md, each from the text of the page: its files are written into a copy of the shipped policy, its
 * commands are run beside a service that decides by it, and that service is asked what the recipe is about.
 */

import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { cp, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { expect } from 'chai';
import { ROOT } from '../support/cli.ts';
import { type Client, clientOf } from '../support/client.ts';
import { newDatabase } from '../support/postgres.ts';
import { insertKey, startService, type TestService } from '../support/service.ts';
import { blocksOf, newFolder, type Ran, runConsole, shell, write } from './page.ts';

const [, COOKBOOK = ''] = readFileSync(path.join(ROOT, 'docs', 'policies.md'), 'utf8').split('\n## Cookbook\n');
const RECIPES = COOKBOOK.split('\n### ')
  .slice(1)
  .map((text) => ({ title: text.slice(0, text.indexOf('\n')), blocks: blocksOf(text) }));

interface Question {
  readonly key?: 'ada-bakery' | 'ada-staging' | 'ada-main';
  readonly action: string;
  readonly business?: string;
  readonly context?: object;
}

/** What the demo holds of these, with the service that decides by the recipe. */
interface World {
  readonly client: Client;
  /** The code of a question of ada-bakery about the bakery, unless it says otherwise. */
  readonly code: (question: Question) => Promise<string>;
  readonly message: (question: Question) => Promise<string>;
  readonly run: (command: string) => Promise<Ran>;
}

const [OFFICE, ELSEWHERE, BLOCKED] = [{ ip: '203.0.113.9' }, { ip: '192.0.2.1' }, { ip: '198.51.100.200' }];
const DENIED = 'PERMISSION_DENIED';

/** By the number of the recipe: asks, before and after what it gives. */
const TRIES: Readonly<Record<string, (world: World) => Promise<void>>> = {
  // The page has frozen calls when this begins.
  1: async ({ client, code, message, run }) => {
    expect(await message({ action: 'call:create' })).to.equal('This is frozen for now. Calls are being looked into.');
    expect(await code({ action: 'call:read' })).to.equal('FROZEN');
    expect(await code({ action: 'record:read' })).to.equal('OK');
    const { items } = await client.data('GET', '/freezes');
    expect((await run(`authz freeze lift ${(items as { id: string }[])[0]?.id}`)).code).to.equal(0);
    await eventually(async () => {
      expect(await code({ action: 'call:create' })).to.equal('OK');
    });
  },
  2: async ({ code }) => {
    expect(await code({ key: 'ada-staging', action: 'record:read' })).to.equal(DENIED);
    expect(await code({ action: 'record:read' })).to.equal('OK');
    expect(await code({ key: 'ada-main', action: 'call:create', business: 'garage' })).to.equal(DENIED);
    expect(await code({ key: 'ada-main', action: 'record:read', business: 'garage' })).to.equal('OK');
  },
  3: async ({ client, code }) => {
    const question = { key: 'ada-main', business: 'florist', action: 'call:read' } as const;
    // The page has made ada a viewer of the florist.
    expect(await code(question)).to.equal('OK');
    expect(await code({ ...question, action: 'call:create' })).to.equal(DENIED);
    await client.data('PUT', '/businesses/florist/members/ada', { role: 'member' });
    expect(await code({ ...question, action: 'call:create' })).to.equal('OK');
    await client.data('PUT', '/businesses/florist/members/ada', { role: 'viewer' });
    expect(await code({ ...question, action: 'call:create' })).to.equal(DENIED);
    expect((await client.call('PUT', '/businesses/florist/members/ada', { role: 'auditor' })).status).to.equal(400);
  },
  4: async ({ code }) => {
    expect(await code({ action: 'billing:read', business: '' })).to.equal('OK');
    expect(await code({ action: 'billings:read', business: '' })).to.equal(DENIED);
    expect(await code({ action: 'billing:read' })).to.equal('OK');
    expect(await code({ action: 'billing:read', business: 'garage' })).to.equal(DENIED);
  },
  5: async ({ code }) => {
    const wanted: readonly (readonly [context: object, recording: string, call: string])[] = [
      [OFFICE, 'OK', 'OK'],
      [{ ip: '2001:db8:113::1' }, 'OK', 'OK'],
      [{ ip: '::ffff:203.0.113.9' }, 'OK', 'OK'],
      [ELSEWHERE, DENIED, 'OK'],
      [{}, DENIED, 'OK'],
      [BLOCKED, DENIED, DENIED],
      [{ ip: '::ffff:198.51.100.200' }, DENIED, DENIED],
      [{ ip: '2001:db8:bad::1' }, DENIED, DENIED],
    ];
    for (const [context, recording, call] of wanted) {
      const codes = [await code({ action: 'record:read', context }), await code({ action: 'call:read', context })];
      expect(codes, JSON.stringify(context)).to.deep.equal([recording, call]);
    }
  },
  6: async ({ client, code }) => {
    const at = async (moment: string): Promise<unknown> => {
      const question = { apiKeyId: 'ada-bakery', action: 'record:read', businessId: 'bakery', at: moment };
      return ((await client.data('POST', '/policy/explain', question))['decision'] as { code: string }).code;
    };
    expect(await at('2026-12-28T07:00:00Z')).to.equal('OK');
    expect(await at('2026-12-28T06:59:59Z')).to.equal(DENIED);
    expect(await at('2026-12-28T17:00:00Z')).to.equal(DENIED);
    expect(await at('2026-12-27T10:00:00Z')).to.equal(DENIED);
    expect(await at('2027-01-01T10:00:00Z')).to.equal(DENIED);
    // Now, by another way to tell the time; anew where the hours began or ended meanwhile.
    for (;;) {
      const before = isInOfficeHours(new Date());
      const got = await code({ action: 'record:read' });
      if (before !== isInOfficeHours(new Date())) continue;
      expect(got).to.equal(before ? 'OK' : DENIED);
      break;
    }
    expect(await code({ action: 'call:create' })).to.equal('OK');
  },
  7: async ({ client, code }) => {
    // The page has given it sms.
    expect(await code({ action: 'sms:send' })).to.equal('OK');
    expect(await code({ action: 'record:read' })).to.equal(DENIED);
    await client.data('PATCH', '/keys/ada-bakery', { attributes: { can: ['recordings'] } });
    expect(await code({ action: 'sms:send' })).to.equal(DENIED);
    expect(await code({ action: 'record:read' })).to.equal('OK');
    expect(await code({ action: 'call:create' })).to.equal('OK');
  },
  8: async ({ client, code }) => {
    const key = 'ada-staging';
    expect(await code({ key, action: 'call:create' })).to.equal(DENIED);
    expect(await code({ key, action: 'call:read' })).to.equal('OK');
    await client.data('PATCH', `/keys/${key}`, { environment: 'production' });
    expect(await code({ key, action: 'call:create' })).to.equal('OK');
  },
  9: async ({ client, code }) => {
    // The page has given ada the plan pro.
    expect(await code({ action: 'report:read' })).to.equal('OK');
    await client.data('PUT', '/users/ada', { attributes: { plan: 'free' } });
    expect(await code({ action: 'report:read' })).to.equal(DENIED);
    await client.data('PUT', '/users/ada', {});
    expect(await code({ action: 'report:read' })).to.equal(DENIED);
    expect(await code({ action: 'call:read' })).to.equal('OK');
  },
  10: async ({ client, code, message }) => {
    expect(await code({ action: 'report:read' })).to.equal('PAYMENT_OVERDUE');
    expect(await message({ action: 'report:read' })).to.equal('A payment for this account is overdue.');
    expect(await code({ action: 'report:read', business: 'garage' })).to.equal(DENIED);
    expect(await code({ action: 'call:read' })).to.equal('OK');
    await client.data('PUT', '/users/ada', {});
    expect(await code({ action: 'report:read' })).to.equal('OK');
  },
};

/** What the text says of other ways to write a recipe: an edit of a file, and what `check` says of it. */
const OTHERWISE: Readonly<
  Record<string, readonly (readonly [file: string, from: string, to: string, says: RegExp])[]>
> = {
  1: [['50-no.csv', '', 'p, no-export, report:export, "true", deny, PERMISSION_DENIED\n', /nothing found/]],
  5: [
    [
      'facts.yaml',
      ', withholds: true',
      '',
      /^50-addresses\.csv:1:.* where the address is left out.*\[ignorance-grants\]$/m,
    ],
    [
      '50-addresses.csv',
      '"r.network.blocked"',
      '"r.network.blocked || !r.request.addressed"',
      /by address-blocked \[case-fails\]/,
    ],
  ],
  7: [['50-grants.csv', '!r.key.can.sms', 'r.key.can.sms', /^50-grants\.csv:1:.*\[ignorance-grants\]$/m]],
  9: [['50-plan.csv', "!= 'pro'", "== 'free'", /^50-plan\.csv:1:.*r\.user\.plan.*\[ignorance-grants\]$/m]],
  10: [['facts.yaml', ', withholds: true', '', /^50-payment\.csv:1:.*\[ignorance-grants\]$/m]],
};

/** As in recipe 6, by the formatter of the runtime. */
function isInOfficeHours(now: Date): boolean {
  const parts = new Intl.DateTimeFormat('en-CA', {
    timeZone: 'Europe/Berlin',
    weekday: 'short',
    hour: '2-digit',
    hourCycle: 'h23',
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
  }).formatToParts(now);
  const of = (type: string): string => parts.find((part) => part.type === type)?.value ?? '';
  const date = `${of('year')}-${of('month')}-${of('day')}`;
  const works = !['Sat', 'Sun'].includes(of('weekday')) && !['2026-12-25', '2027-01-01'].includes(date);
  return works && Number(of('hour')) >= 8 && Number(of('hour')) < 18;
}

/** What another process changed is in force within a second. */
async function eventually(check: () => Promise<void>): Promise<void> {
  for (const end = Date.now() + 20_000; ; ) {
    try {
      return await check();
    } catch (error) {
      if (Date.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

/** A service of that policy, and what the recipes name. */
async function startWorld(folder: string): Promise<{ service: TestService; world: World }> {
  const env = {
    DATABASE_URL: await newDatabase(),
    KEY_PEPPERS: `test:${randomBytes(32).toString('base64')}`,
    POLICY_DIR: path.join(folder, 'draft'),
  };
  const service = await startService(env);
  const client = clientOf(service);
  await client.newUser('ada', 'bakery', 'garage');
  await client.data('PUT', '/businesses/florist', {});
  const keys: Record<string, string> = {
    'ada-bakery': await insertKey(service, { id: 'ada-bakery', user_id: 'ada' }, ['bakery']),
    'ada-main': await insertKey(service, { id: 'ada-main', user_id: 'ada' }),
    'ada-staging': await insertKey(service, { id: 'ada-staging', user_id: 'ada', environment: 'staging' }),
  };
  const ask = async ({ key = 'ada-bakery', action, business = 'bakery', context }: Question) => {
    const question = { apiKey: keys[key], action, ...(business !== '' && { businessId: business }), context };
    const { status, body } = await service.ask('/authorize', question);
    expect(status, JSON.stringify(body)).to.equal(200);
    return body;
  };
  const world: World = {
    client,
    code: async (question) => (await ask(question)).Code,
    message: async (question) => (await ask(question)).Message,
    run: (command) => shell(folder, command, env),
  };
  return { service, world };
}

describe('the cookbook in docs/policies.md', function () {
  this.timeout(120_000);

  it('has ten recipes, and a try of each', () => {
    expect(RECIPES.map(({ title }) => title.split('.')[0])).to.deep.equal(Object.keys(TRIES));
    expect(RECIPES).to.have.lengthOf(10);
  });

  it('stands on a page whose row for a strict register is all that such a register needs', async () => {
    const page = readFileSync(path.join(ROOT, 'docs', 'policies.md'), 'utf8');
    const [row = ''] = /(?<=`)p, unregistered, [^`]+/.exec(page) ?? [];
    const folder = await newFolder();
    const facts = path.join(folder, 'policies', 'facts.yaml');
    await writeFile(facts, (await readFile(facts, 'utf8')).replace('strict: false', 'strict: true'));
    const check = 'authz policy check policies';
    expect((await shell(folder, check)).output).to.match(/^90-allow\.csv:.*\[forbidden-allow\]$/m);
    await writeFile(path.join(folder, 'policies', '50-unregistered.csv'), `${row}\n`);
    expect((await shell(folder, check)).output).to.match(/^policies: nothing found/);
    await rm(folder, { recursive: true });
  });

  for (const { title, blocks } of RECIPES)
    it(`has a recipe that can be followed, and does what it says: ${title}`, async () => {
      const folder = await newFolder();
      let service: TestService | undefined;
      try {
        await cp(path.join(folder, 'policies'), path.join(folder, 'draft'), { recursive: true });
        for (const block of blocks) if (block.language !== 'console') await write(folder, block);
        const [check, cases] = await Promise.all([
          shell(folder, 'authz policy check draft'),
          shell(folder, 'authz policy test draft --min-coverage 100'),
        ]);
        // Neither a finding nor advice.
        expect(check.output).to.match(/^draft: nothing found in \d+ rows; sha256:\w+\n$/);
        expect(cases.code, cases.output).to.equal(0);
        const number = title.split('.')[0] ?? '';
        for (const [file, from, to, says] of OTHERWISE[number] ?? []) {
          await cp(path.join(folder, 'draft'), path.join(folder, 'other'), { recursive: true });
          const before = await readFile(path.join(folder, 'other', file), 'utf8').catch(() => '');
          expect(before).to.include(from);
          await writeFile(path.join(folder, 'other', file), before.replace(from, to));
          expect((await shell(folder, 'authz policy check other')).output).to.match(says);
          await rm(path.join(folder, 'other'), { recursive: true });
        }
        const started = await startWorld(folder);
        service = started.service;
        for (const { language, body } of blocks) if (language === 'console') await runConsole(body, started.world.run);
        await (TRIES[number] ?? expect.fail('no try'))(started.world);
      } finally {
        await service?.close();
        await rm(folder, { recursive: true, force: true });
      }
    });
});
