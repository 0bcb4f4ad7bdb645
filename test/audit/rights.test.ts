/** docs/audit.md, "Who may do what": every verb as every role, on every PostgreSQL; the table and what happens agree both ways. */

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'chai';
import type { Knex } from 'knex';
import { eventHash } from '../../src/audit/format/event-hash.ts';
import { printEventLine } from '../../src/audit/format/event-line.ts';
import { authz, type Outcome, ROOT } from '../support/cli.ts';
import { POSTGRES } from '../support/postgres.ts';
import { makeWorld, type Role, type World } from './rights-world.ts';

const POLICIES = path.join(ROOT, 'policies');
const ROLES: readonly Role[] = ['owner', 'service', 'auditor', 'other'];

interface Run {
  readonly args: readonly string[];
  readonly input?: string;
  /** Where it is not the world's. */
  readonly url?: string;
}
/** A run as a role. */
type Make = (world: World, role: Role) => Run | Promise<Run>;

const plain =
  (...args: string[]): Make =>
  () => ({ args });
/** With the id of something new at the end, or before what follows it. */
const on =
  (kind: 'user' | 'business' | 'caller' | 'freeze', verb: string, ...rest: string[]): Make =>
  async ({ fresh }) => ({ args: [...verb.split(' '), await fresh[kind](), ...rest] });
const onKey =
  (verb: string, ...rest: string[]): Make =>
  async ({ fresh }) => ({ args: [...verb.split(' '), (await fresh.key()).id, ...rest] });

/** As the table names them. */
const VERBS: Readonly<Record<string, Make>> = {
  'audit query': plain('audit', 'query'),
  'audit tail': plain('audit', 'tail'),
  'audit show': ({ decision }) => ({ args: ['audit', 'show', decision] }),
  'audit stats': plain('audit', 'stats', '--by', 'code'),
  'audit report': plain('audit', 'report', '--on', 'today', '--json'),
  'audit timeline': plain('audit', 'timeline', '--user', 'ann'),
  'audit export': plain('audit', 'export'),
  'audit findings': plain('audit', 'findings'),
  'audit admin': plain('audit', 'admin'),
  'audit events': async ({ folder, fresh }) => ({ args: ['audit', 'events', '--out', path.join(folder, fresh.id())] }),
  'audit verify': plain('audit', 'verify'),
  'restore lost': plain('restore', 'lost'),
  'restore reconcile': async ({ fresh, owner }) => ({
    args: ['restore', 'reconcile', '--events', await fresh.file(await lostEvent(owner)), '--unattested', '--yes'],
  }),
  'audit query --key -': async ({ fresh }) => ({
    args: ['audit', 'query', '--key', '-'],
    input: (await fresh.key()).apiKey,
  }),
  'audit prune': plain('audit', 'prune', '--keep', '7d', '--yes'),
  'audit erase': onKey('audit erase --key', '--yes'),
  'policy explain ID': ({ decision }) => ({ args: ['policy', 'explain', decision] }),
  'policy explain --key': onKey('policy explain --action call:create --key'),
  'policy replay': plain('policy', 'replay', '--policy', POLICIES),
  'policy shadow': plain('policy', 'shadow'),
  'policy review --replay': plain('policy', 'review', POLICIES, POLICIES, '--replay', '1h'),
  'policy diff sha256:..': ({ policy }) => ({ args: ['policy', 'diff', policy, POLICIES] }),
  'policy check --database': plain('policy', 'check', POLICIES, '--database'),
  'policy status': plain('policy', 'status'),
  'policy history': plain('policy', 'history'),
  'policy show': ({ policy }) => ({ args: ['policy', 'show', policy] }),
  'policy restore': ({ policy, fresh, folder }) => ({
    args: ['policy', 'restore', policy, path.join(folder, fresh.id())],
  }),
  'key list': plain('key', 'list'),
  'key show': onKey('key show'),
  'key show --key-stdin': async ({ fresh }) => ({
    args: ['key', 'show', '--key-stdin'],
    input: (await fresh.key()).apiKey,
  }),
  'key create': plain('key', 'create', '--user', 'ann', '--name', 'a key'),
  'key update': onKey('key update', '--name', 'another'),
  'key rotate': onKey('key rotate'),
  'key revoke': onKey('key revoke', '--yes'),
  'key delete': onKey('key delete', '--yes'),
  'user list': plain('user', 'list'),
  'user show': plain('user', 'show', 'ann'),
  'user put': on('user', 'user put', '--rate-limit', '10/60'),
  'user update': on('user', 'user update', '--rate-limit', '10/60'),
  'user delete': on('user', 'user delete', '--yes'),
  'user revoke-keys': on('user', 'user revoke-keys', '--yes'),
  'business list': plain('business', 'list'),
  'business show': plain('business', 'show', 'bakery'),
  'business put': on('business', 'business put', '--disabled'),
  'business update': on('business', 'business update', '--disabled'),
  'business delete': on('business', 'business delete', '--yes'),
  'member list': plain('member', 'list', 'bakery'),
  'member put': on('user', 'member put bakery', '--role', 'member'),
  'member delete': async ({ owner, fresh }) => {
    const user = await fresh.user();
    await owner('business_members').insert({ business_id: 'bakery', user_id: user, role: 'member' });
    return { args: ['member', 'delete', 'bakery', user, '--yes'] };
  },
  'caller list': plain('caller', 'list'),
  'caller create': plain('caller', 'create', '--name', 'billing', '--scope', 'authorize'),
  'caller rotate': on('caller', 'caller rotate'),
  'caller revoke': on('caller', 'caller revoke', '--yes'),
  'pepper status': plain('pepper', 'status'),
  freeze: plain('freeze', '--action', 'x:y', '--for', '1h', '--reason', 'A try.'),
  'freeze list': plain('freeze', 'list'),
  'freeze extend': on('freeze', 'freeze extend', '--for', '9h'),
  'freeze lift': on('freeze', 'freeze lift'),
  import: async ({ fresh }) => ({
    args: ['import', await fresh.file(JSON.stringify({ users: [{ id: fresh.id() }] }), `${fresh.id()}.json`)],
  }),
  serve: plain('serve'),
  'migrate, where nothing is to be done': plain('migrate'),
  'migrate, of what this version needs': async ({ emptyOf }, role) => ({ args: ['migrate'], url: await emptyOf(role) }),
};

let limit = 0;
/** A line of an event that the database has lost: its user has less than it has here. */
async function lostEvent(owner: Knex): Promise<string> {
  const { events, events_hash: previous } = await owner('change_counter').first('events', 'events_hash');
  const at = '2030-01-01T00:00:00.000Z';
  const rateLimit = { requests: 1_000_000 - ++limit, windowSeconds: 1 };
  const state = { disabled: false, disabledReason: null, businessesDisabled: false, rateLimit, attributes: {} };
  const event = {
    seq: Number(events) + 1,
    id: '01901234-0000-7000-8000-000000000000',
    at,
    chained_at: at,
    actor: 'somebody',
    login: 'somebody',
    action: 'user.update',
    subject_kind: 'user',
    subject_id: 'ann',
    before: null,
    after: JSON.stringify(state),
    request_id: null,
  };
  return `${printEventLine({ ...event, hash: eventHash(previous, event).toString('hex') })}\n`;
}

/** They open no database: each runs with one that is not there. */
const WITHOUT: Readonly<Record<string, readonly string[]>> = {
  'policy check': [POLICIES],
  'policy test': [POLICIES],
  'policy table': [POLICIES],
  'policy diff': [POLICIES, POLICIES],
  'policy review': [POLICIES, POLICIES],
  'gateway explain': ['GET', '/', '--policy', POLICIES],
  config: [],
  health: ['--url', 'http://127.0.0.1:1'],
};

/** The event that a verb leaves of what it reads; undefined: it reads no log, or shows nothing of it (verify). */
function eventOf(verb: string): string | undefined {
  const [area, name = ''] = verb.split(' ');
  if (verb === 'audit events') return 'audit.admin';
  if (area === 'audit' && !['verify', 'prune', 'erase'].includes(name)) return `audit.${name}`;
  const policy = { explain: 'audit.show', replay: 'audit.replay', shadow: 'audit.shadow', review: 'audit.replay' };
  return area === 'policy' && verb !== 'policy explain --key' ? policy[name as keyof typeof policy] : undefined;
}

/** The table of the page: verb -> the cells of the roles. */
const TABLE = new Map(
  [
    ...readFileSync(path.join(ROOT, 'docs', 'audit.md'), 'utf8').matchAll(
      /^\| (`[^|]*) \|([^|]*)\|([^|]*)\|([^|]*)\|([^|]*)\|$/gm,
    ),
  ].flatMap(([, verbs = '', ...cells]) => {
    const suffix = /`(, [^`]+)$/.exec(verbs)?.[1] ?? '';
    const values = Object.fromEntries(ROLES.map((role, index) => [role, (cells[index] ?? '').trim()]));
    return [...verbs.matchAll(/`([^`]+)`/g)].map(([, verb = '']) => [verb + suffix, values] as const);
  }),
);

/** The verbs that have no others below them, and those that do and are verbs themselves. */
async function verbsOf(names: readonly string[]): Promise<string[]> {
  const { stdout } = await authz([...names, '--help']);
  const below = [...(/\nCommands:\n([\s\S]*?)(?:\n\n|$)/.exec(stdout)?.[1] ?? '').matchAll(/^ {2}([a-z-]+) /gm)]
    .map(([, name = '']) => name)
    .filter((name) => name !== 'help');
  const own = below.length === 0 || /^Options:\n(?! *-h)/m.test(stdout) ? [names.join(' ')] : [];
  return [...own, ...(await Promise.all(below.map((name) => verbsOf([...names, name])))).flat()].filter(Boolean);
}

describe('who may do what', () => {
  it('is said of every verb, and of no other', async () => {
    expect([...TABLE.keys()]).to.have.members(Object.keys(VERBS));
    const named = [...Object.keys(VERBS), ...Object.keys(WITHOUT)];
    const verbs = await verbsOf([]);
    expect(verbs.length).to.be.above(45);
    expect(
      verbs.filter(
        (verb) => !named.some((name) => name === verb || name.startsWith(`${verb} `) || name.startsWith(`${verb},`)),
      ),
    ).to.deep.equal([]);
  });

  it('does not ask for a database where the table names none', async () => {
    for (const [verb, args] of Object.entries(WITHOUT)) {
      const { code, stderr } = await authz([...verb.split(' '), ...args], {
        DATABASE_URL: 'postgres://x@127.0.0.1:1/x',
      });
      // The shipped folder has no route, and no service listens at that port.
      expect(code, `${verb}: ${stderr}`).to.equal(['gateway explain', 'health'].includes(verb) ? 1 : 0);
    }
  });

  for (const postgres of POSTGRES)
    describe(`on ${postgres}`, () => {
      let world: World;
      before(async () => {
        world = await makeWorld(postgres);
      });
      after(() => world?.close());

      /** `serve` and `tail` end at once by the signal. */
      const run = ({ args, input, url }: Run, role: Role, peppers: boolean): Promise<Outcome> => {
        const KEY_PEPPERS = peppers ? world.peppers : '';
        const settings = { ...world.env, DATABASE_URL: url ?? world.urls[role], KEY_PEPPERS };
        return authz(args, settings, input, AbortSignal.abort('SIGTERM'));
      };

      for (const role of ROLES)
        for (const peppers of role === 'auditor' ? [false, true] : [true])
          it(`is the table's column of ${role}${role === 'auditor' ? `, with${peppers ? '' : 'out'} a pepper` : ''}`, async () => {
            for (const verb of Object.keys(VERBS)) {
              const cell = TABLE.get(verb)?.[role];
              const yes = cell === 'yes' || (cell === 'with a pepper' && peppers);
              const made = await (VERBS[verb] as Make)(world, role);
              const before = await world.counts();
              const { code, stdout, stderr } = await run(made, role, peppers);
              const what = `${verb} as ${role}: ${stderr}`;
              if (yes) {
                expect(code, what).to.equal(0);
                await expectEvent(verb, role);
                continue;
              }
              expect(cell, what).to.be.oneOf(['no', 'with a pepper']);
              expect([code === 1 || code === 3, stdout], what).to.deep.equal([true, '']);
              const why = peppers
                ? /may not do this|does not own the decision log|lacks a right|Run authz migrate as the tables' owner/
                : /KEY_PEPPERS|may not do this|does not own the decision log|Run authz migrate/;
              expect(stderr, what).to.match(why);
              expect(await world.counts(), what).to.deep.equal(before);
            }
          });

      /** The newest event is of this read, with the login that read. */
      const expectEvent = async (verb: string, role: Role): Promise<void> => {
        const action = eventOf(verb);
        if (action === undefined) return;
        const [event] = await world.owner('admin_events').orderBy('id', 'desc').limit(1);
        expect([event?.action, event?.login], verb).to.deep.equal([action, new URL(world.urls[role]).username]);
      };
    });
});
