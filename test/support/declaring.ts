/** A copy of the shipped policy that declares attributes and a role, with a row for each that denies `sms:send` to those without. */

import { appendFile, cp, mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { ROOT } from './cli.ts';

const FACTS = `
attributes:
  user: { plan: [free, pro] }
  business: { region: [eu, us] }
  key: { can: { grants: [sms, recordings] } }
roles: [viewer]
`;

const ROWS = `
p, viewer, *, "r.target.role == 'viewer'", deny, NOT_GRANTED
p, plan, sms:send, "r.user.plan != 'pro'", deny, NOT_GRANTED
p, region, sms:send, "r.target.region != 'eu'", deny, NOT_GRANTED
p, grant, sms:send, "!r.key.can.sms", deny, NOT_GRANTED
`;

const CASES = `
base:
  key: { id: k1, status: active, userManagement: false, environment: production, can: { sms: true, recordings: false } }
  user: { id: u1, status: active, businesses: active, plan: pro }
  target: { id: b1, status: active, role: member, inRestriction: true, region: eu }
  limit: { exceeded: false }
  request: { action: 'sms:send' }
cases:
  - { name: all of it, given: {}, want: { effect: allow, code: OK, rule: allow-on-target } }
  - { name: a viewer, given: { target: { role: viewer } }, want: { effect: deny, code: NOT_GRANTED, rule: viewer } }
  - { name: the free plan, given: { user: { plan: free } }, want: { effect: deny, code: NOT_GRANTED, rule: plan } }
  - { name: elsewhere, given: { target: { region: us } }, want: { effect: deny, code: NOT_GRANTED, rule: region } }
  - { name: no grant, given: { key: { can: { sms: false } } }, want: { effect: deny, code: NOT_GRANTED, rule: grant } }
`;

/** What a user, a business and a key must have to be allowed \`sms:send\`. */
export const GRANTED = { user: { plan: 'pro' }, business: { region: 'eu' }, key: { can: ['sms'] } } as const;

/** The path of a new folder with that policy, for the caller to remove. */
export const declaringFolder = (): Promise<string> => shippedFolderWith({ facts: FACTS, rows: ROWS, cases: CASES });

/**
 * The path of a new folder, for the caller to remove: the shipped policy with more members of facts.yaml, more rows, behind all that
 * deny and before those that allow, and their cases. The rows can deny with NOT_GRANTED.
 */
export async function shippedFolderWith(more: {
  readonly facts: string;
  readonly rows: string;
  readonly cases: string;
}): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), 'authz-declaring-'));
  await cp(path.join(ROOT, 'policies'), folder, { recursive: true });
  await appendFile(path.join(folder, 'facts.yaml'), more.facts);
  await appendFile(path.join(folder, 'codes.yaml'), 'NOT_GRANTED:\n  status: 403\n  message: Not granted.\n');
  await writeFile(path.join(folder, '80-granted.csv'), more.rows.trimStart());
  await writeFile(path.join(folder, 'cases', 'granted.yaml'), more.cases.trimStart());
  return folder;
}
