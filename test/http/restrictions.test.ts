/**
 * A restricted key never widens. A model without SQL predicts after each step which businesses each key may reach, and every
 * order of the steps that could widen a key is tried.
 */

import { expect } from 'chai';
import fc from 'fast-check';
import { type Client, withService } from '../support/client.ts';
import { amount } from '../support/long.ts';
import { insertKey, type TestService } from '../support/service.ts';

const NAMES = ['a', 'b', 'c'] as const;
type Name = (typeof NAMES)[number];

type Step =
  | { readonly do: 'delete' | 'make' | 'lose' | 'gain'; readonly of: Name }
  | { readonly do: 'restrict'; readonly to: readonly Name[] | null }
  | { readonly do: 'rotate' };

interface Key {
  readonly id: string;
  readonly apiKey: string;
  /** What the last restriction that was accepted named, less what has been deleted since; null: everything. */
  list: ReadonlySet<Name> | null;
  alive: boolean;
}

/** A user with businesses and keys of its own, and what is to be true of them. */
interface Walk {
  readonly user: string;
  readonly exists: Set<Name>;
  readonly reached: Set<Name>;
  /** The last one is the live one. */
  readonly keys: [...Key[], Key];
}

interface Request {
  readonly method: string;
  readonly path: string;
  readonly body?: object;
  readonly status: number;
}

const idOf = ({ user }: Walk, name: Name): string => `${user}-${name}`;
const liveKey = ({ keys }: Walk): Key => keys.at(-1) as Key;

/** The request of a step with the status that is to come, and its effect on the model. */
function plan(walk: Walk, step: Step): Request {
  const { exists, reached, keys, user } = walk;
  const live = liveKey(walk);
  switch (step.do) {
    case 'delete': {
      const status = exists.has(step.of) ? 204 : 404;
      exists.delete(step.of);
      reached.delete(step.of);
      for (const key of keys) if (key.list) key.list = new Set([...key.list].filter((name) => name !== step.of));
      return { method: 'DELETE', path: `/businesses/${idOf(walk, step.of)}`, status };
    }
    case 'make': {
      const status = exists.has(step.of) ? 200 : 201;
      exists.add(step.of);
      return { method: 'PUT', path: `/businesses/${idOf(walk, step.of)}`, body: {}, status };
    }
    case 'lose': {
      const status = reached.has(step.of) ? 204 : 404;
      reached.delete(step.of);
      return { method: 'DELETE', path: `/businesses/${idOf(walk, step.of)}/members/${user}`, status };
    }
    case 'gain': {
      const status = !exists.has(step.of) ? 404 : reached.has(step.of) ? 200 : 201;
      if (exists.has(step.of)) reached.add(step.of);
      const path = `/businesses/${idOf(walk, step.of)}/members/${user}`;
      return { method: 'PUT', path, body: { role: 'member' }, status };
    }
    case 'restrict': {
      const { to } = step;
      const may = to === null || (to.length > 0 && to.every((name) => reached.has(name)));
      if (may) live.list = to && new Set(to);
      const restrictedBusinessIds = to?.map((name) => idOf(walk, name)) ?? null;
      return { method: 'PATCH', path: `/keys/${live.id}`, body: { restrictedBusinessIds }, status: may ? 200 : 400 };
    }
    case 'rotate':
      live.alive = false;
      return { method: 'POST', path: `/keys/${live.id}/rotate`, status: 201 };
  }
}

function codeOf({ exists, reached }: Walk, { alive, list }: Key, name: Name): string {
  if (!alive) return 'INVALID_API_KEY';
  return (list === null || list.has(name)) && exists.has(name) && reached.has(name) ? 'OK' : 'PERMISSION_DENIED';
}

function* orders<T>(items: readonly T[]): Generator<T[]> {
  if (items.length === 0) yield [];
  for (const [index, first] of items.entries())
    for (const rest of orders(items.toSpliced(index, 1))) yield [first, ...rest];
}

describe('a restriction', () => {
  let service: TestService;
  let client: Client;
  let walks = 0;

  withService((started) => {
    ({ service, client } = started);
  });

  async function begin(list: readonly Name[]): Promise<Walk> {
    walks += 1;
    const user = `u${walks}`;
    const { db } = service;
    await db('users').insert({ id: user });
    await db('businesses').insert(NAMES.map((name) => ({ id: `${user}-${name}` })));
    await db('business_members').insert(
      NAMES.map((name) => ({ business_id: `${user}-${name}`, user_id: user, role: 'member' })),
    );
    const restricted = list.map((name) => `${user}-${name}`);
    const apiKey = await insertKey(service, { id: `k-${user}`, user_id: user }, restricted);
    const key: Key = { id: `k-${user}`, apiKey, list: new Set(list), alive: true };
    return { user, exists: new Set(NAMES), reached: new Set(NAMES), keys: [key] };
  }

  async function take(walk: Walk, step: Step): Promise<void> {
    const { list } = liveKey(walk);
    const { method, path, body, status } = plan(walk, step);
    const reply = await client.call(method, path, body);
    expect(reply.status, `${method} ${path} ${JSON.stringify(reply.body)}`).to.equal(status);
    if (step.do !== 'rotate') return;
    const { apiKey, key } = reply.body.Data as { apiKey: string; key: { id: string } };
    walk.keys.push({ id: key.id, apiKey, list, alive: true });
  }

  /** Asks for every key on every business. */
  async function check(walked: readonly Walk[], after: string): Promise<void> {
    const cases = walked.flatMap((walk) => walk.keys.flatMap((key) => NAMES.map((name) => ({ walk, key, name }))));
    for (let start = 0; start < cases.length; start += 100) {
      const asked = cases.slice(start, start + 100);
      const data = await client.data('POST', '/authorize/batch', {
        requests: asked.map(({ walk, key, name }) => ({
          apiKey: key.apiKey,
          action: 'call:create',
          businessId: idOf(walk, name),
        })),
      });
      const codes = (data['decisions'] as { Code: string }[]).map(({ Code }) => Code);
      const expected = asked.map(({ walk, key, name }) => codeOf(walk, key, name));
      expect(codes, `${asked[0]?.walk.user}, after ${after}`).to.deep.equal(expected);
    }
  }

  /** Takes all the walks at once, each in its order, and looks at all of them after each step. */
  async function walkAll(list: readonly Name[], ways: readonly (readonly Step[])[]): Promise<void> {
    const walked = await Promise.all(ways.map((steps) => begin(list).then((walk) => ({ walk, steps }))));
    const all = walked.map(({ walk }) => walk);
    for (let index = 0; index < Math.max(...ways.map((steps) => steps.length)); index += 1) {
      await Promise.all(
        walked.map(async ({ walk, steps }) => {
          const step = steps[index];
          if (step) await take(walk, step);
        }),
      );
      const [only] = ways.length === 1 ? ways : [];
      await check(all, only ? JSON.stringify(only.slice(0, index + 1)) : `step ${index + 1}`);
    }
    for (const walk of all) {
      const { id, list } = liveKey(walk);
      const { restrictedBusinessIds } = await client.data('GET', `/keys/${id}`);
      expect(restrictedBusinessIds).to.deep.equal(list && [...list].map((name) => idOf(walk, name)).sort());
    }
  }

  const LIFE: Step[] = [
    { do: 'delete', of: 'a' },
    { do: 'make', of: 'a' },
    { do: 'lose', of: 'a' },
    { do: 'gain', of: 'a' },
  ];

  it('to one business is never widened, in any order of what happens to that', async () => {
    const ways = [...orders(LIFE)].map((steps): Step[] => [...steps, { do: 'rotate' }, { do: 'gain', of: 'a' }]);
    expect(ways).to.have.length(24);
    await walkAll(['a'], ways);
  });

  it('is never widened, in any order of that and of its being narrowed', async () => {
    const ways = [...orders<Step>([...LIFE, { do: 'restrict', to: ['b'] }])];
    expect(ways).to.have.length(120);
    const every = amount(4, 1);
    await walkAll(
      ['a', 'b'],
      ways.filter((_, index) => index % every === 0),
    );
  });

  it('of a rotated key is that of its predecessor, and goes on alike', async () => {
    const after: Step[] = [{ do: 'make', of: 'a' }, { do: 'gain', of: 'a' }, { do: 'rotate' }];
    const steps: Step[] = [{ do: 'rotate' }, { do: 'delete', of: 'a' }, { do: 'lose', of: 'b' }];
    const ways = [...orders(steps)].map((way) => [...way, ...after]);
    await walkAll(['a', 'b'], ways);
  });

  it('stays one when its last business is gone, until somebody lifts it', () =>
    walkAll(
      ['a'],
      [
        [
          { do: 'delete', of: 'a' },
          { do: 'make', of: 'a' },
          { do: 'gain', of: 'a' },
          { do: 'restrict', to: [] },
          { do: 'rotate' },
          { do: 'restrict', to: null },
          { do: 'restrict', to: ['a'] },
        ],
      ],
    ));

  it('is as the model has it after any steps', async () => {
    const name = fc.constantFrom(...NAMES);
    const lists = fc.option(fc.subarray([...NAMES]), { freq: 9 });
    const step: fc.Arbitrary<Step> = fc.oneof(
      { weight: 4, arbitrary: fc.record({ do: fc.constantFrom('delete', 'make', 'lose', 'gain'), of: name }) },
      { weight: 2, arbitrary: fc.record({ do: fc.constant('restrict'), to: lists }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('rotate') }) },
    );
    const steps = fc.array(step, { minLength: 5, maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(steps, (taken) => walkAll(['a', 'b'], [taken])),
      { numRuns: 10 },
    );
  });
});
