/** A declaration with every kind of fact, and policies over it for tests of what decides; they are parsed, and not proved. */

import { createMatcher } from '../../src/policy/casbin/matcher.ts';
import type { Policy } from '../../src/policy/decide.ts';
import type { Declaration, DeclaredValues } from '../../src/policy/declared/declaration.ts';
import { NO_ROUTES } from '../../src/policy/declared/gateway.ts';
import { NO_NAMES } from '../../src/policy/declared/names.ts';
import { parseCodes } from '../../src/policy/folder/codes.ts';
import { CODES_FILE } from '../../src/policy/folder/files.ts';
import { parseRows } from '../../src/policy/folder/rows.ts';
import { schemaOf } from '../../src/policy/schema.ts';
import { runToEnd } from '../../src/policy/time-slices.ts';
import { shippedTexts } from '../policy/texts.ts';

const values = (...list: string[]): DeclaredValues => ({ kind: 'values', values: list, withholds: false });

export const EVERY_KIND: Declaration = {
  attributes: {
    key: new Map([['can', { kind: 'grants', grants: ['sms', 'recordings'], withholds: false }]]),
    user: new Map([['plan', values('free', 'pro')]]),
    business: new Map([['region', values('eu', 'us')]]),
  },
  roles: ['viewer'],
  networks: [
    { name: 'office', prefixes: ['203.0.113.0/24', '2001:db8::/32'], withholds: false },
    { name: 'berlin', prefixes: ['203.0.113.128/25'], withholds: false },
  ],
  schedules: [
    { name: 'morning', days: [0, 1, 2, 3, 4, 5, 6], from: 480, to: 720, zone: 'UTC', except: ['2026-12-25'] },
    { name: 'weekend', days: [0, 6], from: 0, to: 1440, zone: 'UTC', except: [] },
  ],
  asked: new Map([
    ['soft', { kind: 'boolean', values: [], withholds: false }],
    ['state', values('on', 'off')],
  ]),
  actions: {
    strict: false,
    known: new Map([
      ['call:create', 'Start a call'],
      ['call:read', 'Look at a call'],
      ['user:create', 'Create a user'],
    ]),
    groups: new Map([['reads', ['call:read']]]),
  },
};

/** A row for each kind of fact. */
const ROWS = `
p, viewer, *, "r.target.role == 'viewer' && !r.request.group.reads", deny, PERMISSION_DENIED
p, unregistered, *, "!r.request.registered && r.user.plan != 'pro'", deny, PERMISSION_DENIED
p, sms, call:create, "!r.key.can.sms && !r.network.berlin", deny, PERMISSION_DENIED
p, recordings, call:read, "!r.key.can.recordings && r.asked.state != 'on'", deny, PERMISSION_DENIED
p, region, call:create, "r.target.region != 'eu' && !r.asked.soft", deny, PERMISSION_DENIED
p, hours, *, "!r.schedule.morning && !r.network.office", deny, PERMISSION_DENIED
p, weekend, call:create, "r.schedule.weekend && !r.asked.soft", deny, PERMISSION_DENIED
p, addressless, call:create, "!r.request.addressed && r.user.plan == 'free'", deny, PERMISSION_DENIED
p, read-by-viewer, *, "r.target.status == 'active' && r.target.role == 'viewer' && r.target.inRestriction && r.request.group.reads", allow, OK
`;

/** The shipped rows, and more, under a declaration. */
export async function declaredPolicy(declaration: Declaration = EVERY_KIND, rows: string = ROWS): Promise<Policy> {
  const report = (finding: unknown): never => {
    throw new Error(`the policy of a test is not valid: ${JSON.stringify(finding)}`);
  };
  const texts = new Map([...(await shippedTexts()), ['80-declared.csv', rows.trimStart()]]);
  const schema = schemaOf(declaration);
  const codes = parseCodes(texts.get(CODES_FILE), report);
  const parsed = Object.freeze(runToEnd(parseRows(texts, schema, codes, report)));
  const { match, matchesAlone, costOf } = createMatcher(parsed, schema);
  return Object.freeze({
    digest: 'sha256:declared',
    schema,
    rows: parsed,
    codes,
    names: NO_NAMES,
    gateway: NO_ROUTES,
    match,
    matchesAlone,
    costOf,
  });
}
