/**
 * Edits of the shipped policy that are not in its cookbook, each as somebody would write it who has read docs/policies.md: they need
 * no change of a shipped file but what the page says, and the mistakes that lie near are found.
 */

import { expect } from 'chai';
import type { PolicyTexts } from '../../src/policy/folder/files.ts';
import { edited, findingsOf, shippedTexts, withFile } from './texts.ts';

interface Edit {
  /** Behind what facts.yaml says as shipped. */
  readonly facts: string;
  readonly rows: string;
  /** Replaced in the cases that are shipped. */
  readonly base?: readonly [from: string, to: string];
  readonly files?: Readonly<Record<string, string>>;
  readonly finds?: readonly string[];
}

const EMPLOYMENT = `networks: { office: ["203.0.113.0/24"] }
schedules: { office_hours: { days: mon-fri, from: "08:00", to: "18:00", zone: Europe/Berlin } }
`;
const OUTSIDE = '(!r.network.office || !r.schedule.office_hours)';
const REGIONS = 'attributes: { user: { plan: [free, pro] }, business: { region: [eu, us] } }';
const deny = (id: string, action: string, when: string): string =>
  `p, ${id}, ${action}, "${when}", deny, PERMISSION_DENIED`;

const EDITS: Readonly<Record<string, Edit>> = {
  'attributes alone, which go live before the rows that read them': { facts: REGIONS, rows: '' },
  'a role alone, which goes live with its rows': {
    facts: 'roles: [viewer]',
    rows: '',
    finds: ['90-allow.csv:3:1 undecided'],
  },
  'contractors only from the office during working hours': {
    facts: `${EMPLOYMENT}attributes: { user: { employment: { values: [contractor], withholds: true } } }`,
    rows: deny('contractors', '*', `r.user.employment == 'contractor' && ${OUTSIDE}`),
  },
  'the same, with contractors who need only lose their attribute to be let in': {
    facts: `${EMPLOYMENT}attributes: { user: { employment: [staff, contractor] } }`,
    rows: deny('contractors', '*', `r.user.employment == 'contractor' && ${OUTSIDE}`),
    finds: ['50-x.csv:1:1 ignorance-grants'],
  },
  'all but staff only from the office during working hours, once the shipped cases are about staff': {
    facts: `${EMPLOYMENT}attributes: { user: { employment: [staff, contractor] } }`,
    rows: deny('contractors', '*', `r.user.employment != 'staff' && ${OUTSIDE}`),
    base: [
      'user: { id: u1, status: active, businesses: active }',
      'user: { id: u1, status: active, businesses: active, employment: staff }',
    ],
  },
  'reports that only owners may export': {
    facts: '',
    rows: deny('export-by-owner', 'report:export', "r.target.role != 'owner'"),
  },
  'users that only keys with the grant admin may manage, and on weekdays, once those of the shipped cases do': {
    facts: `attributes: { key: { may: { grants: [admin] } } }
schedules: { weekdays: { days: mon-fri, zone: Europe/Berlin } }`,
    rows: deny('admin-on-weekdays', 'user:*', '!r.key.may.admin || !r.schedule.weekdays'),
    base: [
      'environment: production }',
      'environment: production, may: { admin: true } }\n  schedule: { weekdays: true }',
    ],
  },
  'no recordings of the region us for the plan free': {
    facts: REGIONS,
    rows: deny('us-for-pro', 'record:*', "r.target.region != 'eu' && r.user.plan != 'pro'"),
  },
  'the same, for whoever has neither a region nor a plan': {
    facts: REGIONS,
    rows: deny('us-for-pro', 'record:*', "r.target.region == 'us' && r.user.plan == 'free'"),
    finds: ['50-x.csv:1:1 ignorance-grants', '50-x.csv:1:1 ignorance-grants'],
  },
  'a second blocklist from a file': {
    facts: `networks:
  blocked: { file: blocked.txt, withholds: true }
  tor: { file: tor-exits.txt, withholds: true }`,
    rows: deny('blocked', '*', 'r.network.blocked || r.network.tor'),
    files: { 'blocked.txt': '198.51.100.0/24\n', 'tor-exits.txt': '# from the list\n192.0.2.0/25\n198.51.100.7\n' },
  },
};

describe('an edit that is not in the cookbook', function () {
  this.timeout(60_000);
  let shipped: PolicyTexts;
  before(async () => {
    shipped = await shippedTexts();
  });

  for (const [title, { facts, rows, base, files = {}, finds = [] }] of Object.entries(EDITS))
    it(`${title}: ${finds.length === 0 ? 'nothing is found' : finds.join(', ')}`, async () => {
      let texts = withFile(shipped, 'facts.yaml', `${shipped.get('facts.yaml')}${facts}\n`);
      if (rows !== '') texts = withFile(texts, '50-x.csv', `${rows}\n`);
      for (const [file, text] of Object.entries(files)) texts = withFile(texts, file, text);
      const cases = [...shipped.keys()].filter((file) => file.startsWith('cases/'));
      for (const file of base ? cases : []) texts = edited(texts, file, base?.[0] ?? '', base?.[1] ?? '');
      expect(await findingsOf(texts)).to.deep.equal(finds);
    });
});
