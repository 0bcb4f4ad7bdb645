/**
 * Each trap of loading model and rows: what stock Casbin loads silently is a finding here, with its file, line and column. Traps within a rule are in rule.test.ts, those of YAML in cases.test.ts.
 */

import { expect } from 'chai';
import { situations } from '../../../src/policy/analysis/situations.ts';
import { modelFor } from '../../../src/policy/casbin/model.ts';
import { decide } from '../../../src/policy/decide.ts';
import type { Facts } from '../../../src/policy/facts.ts';
import type { PolicyTexts } from '../../../src/policy/folder/files.ts';
import { BUILT_IN } from '../../../src/policy/schema.ts';
import {
  edited,
  findingsOf,
  shippedPolicy,
  shippedTexts,
  stockArguments,
  stockEnforcer,
  stockOf,
  withFile,
} from '../texts.ts';

type Edit = (texts: PolicyTexts) => PolicyTexts;

const LIMIT = 'p, limit-exceeded, *, "r.limit.exceeded", deny, RATE_LIMITED';
const replaced =
  (file: string, from: string, to: string): Edit =>
  (texts) =>
    edited(texts, file, from, to);
/** The row of 20-limit.csv, in line 2, written otherwise. */
const limit = (to: string): Edit => replaced('20-limit.csv', LIMIT, to);
const put =
  (file: string, text: string | undefined): Edit =>
  (texts) =>
    withFile(texts, file, text);
const withoutRows: Edit = (texts) => new Map([...texts].filter(([name]) => !name.endsWith('.csv')));

type Trap = readonly [title: string, edit: Edit, ...findings: string[]];

const ROWS: readonly Trap[] = [
  ['a type of line that Casbin skips', limit(LIMIT.replace('p,', 'q,')), '20-limit.csv:2:1 row-shape'],
  ['a type of line in capitals', limit(LIMIT.replace('p,', 'P,')), '20-limit.csv:2:1 row-shape'],
  ['a role', limit('g, alice, admin'), '20-limit.csv:2:1 row-shape'],
  ['the effect dney', limit(LIMIT.replace('deny', 'dney')), '20-limit.csv:2:43 row-effect'],
  ['the effect Deny', limit(LIMIT.replace('deny', 'Deny')), '20-limit.csv:2:43 row-effect'],
  ['no effect', limit(LIMIT.replace('deny', '')), '20-limit.csv:2:43 row-effect'],
  ['a column less', limit(LIMIT.replace(', RATE_LIMITED', '')), '20-limit.csv:2:1 row-shape'],
  ['a column more', limit(`${LIMIT}, x`), '20-limit.csv:2:1 row-shape'],
  ['a comma at the end', limit(`${LIMIT},`), '20-limit.csv:2:1 row-shape'],
  [
    'a rule with a comma and no quotes',
    limit("p, x, *, keyMatch(r.request.action, 'x:*'), deny, RATE_LIMITED"),
    '20-limit.csv:2:1 row-shape',
  ],
  ['a quote that is not closed', limit(LIMIT.replace('exceeded"', 'exceeded')), '20-limit.csv:2:1 row-syntax'],
  ['a quote in the middle', limit(LIMIT.replace('"r.', 'r."')), '20-limit.csv:2:1 row-syntax'],
  [
    'a field over two lines',
    limit(LIMIT.replace('"r.', '"true &&\nr.')),
    '20-limit.csv:2:1 row-syntax',
    '20-limit.csv:3:1 row-syntax',
  ],
  ['semicolons', limit(LIMIT.replaceAll(',', ';')), '20-limit.csv:2:1 row-shape'],
  ['tabs', limit(LIMIT.replaceAll(', ', '\t')), '20-limit.csv:2:1 row-shape'],
  ['no condition', limit(LIMIT.replace('r.limit.exceeded', '')), '20-limit.csv:2:24 rule-syntax'],
  ['an id in capitals', limit(LIMIT.replace('limit-e', 'Limit-e')), '20-limit.csv:2:4 row-shape'],
  ['no id', limit(LIMIT.replace('limit-exceeded', '')), '20-limit.csv:2:4 row-shape'],
  [
    'the id of a row of another file',
    limit(LIMIT.replace('limit-exceeded', 'user-unknown')),
    '20-limit.csv:2:1 duplicate-id',
  ],
  ['the same row twice', limit(`${LIMIT}\n${LIMIT}`), '20-limit.csv:3:1 duplicate-id'],
  ['a pattern with the star inside', limit(LIMIT.replace('*', 'user:*:read')), '20-limit.csv:2:20 row-action'],
  ['a pattern that ends within a word', limit(LIMIT.replace('*', 'user*')), '20-limit.csv:2:20 row-action'],
  ['an action in capitals', limit(LIMIT.replace('*', 'User:read')), '20-limit.csv:2:20 row-action'],
  ['a code that codes.yaml lacks', limit(LIMIT.replace('RATE_', 'RATES_')), '20-limit.csv:2:49 unknown-code'],
  ['a code with a comment behind it', limit(`${LIMIT} # sic`), '20-limit.csv:2:49 unknown-code'],
  ['an allow with the code of a denial', limit(LIMIT.replace('deny', 'allow')), '20-limit.csv:2:50 row-effect'],
  ['a denial with the code OK', limit(LIMIT.replace('RATE_LIMITED', 'OK')), '20-limit.csv:2:49 row-effect'],
  ['a failure as its code', limit(LIMIT.replace('RATE_LIMITED', 'UNAVAILABLE')), '20-limit.csv:2:49 unknown-code'],
  [
    'a row behind a carriage return, which CSV would drop',
    limit(`${LIMIT}\rp, hidden, *, "true", deny, RATE_LIMITED`),
    '20-limit.csv:2:61 unseen-character',
  ],
  [
    'a row that a carriage return joins to a comment',
    limit(`# see below\r${LIMIT}`),
    '20-limit.csv:2:12 unseen-character',
  ],
];

const FILES: readonly Trap[] = [
  ['no rows', withoutRows, 'model.conf:1:1 no-rows'],
  [
    'files of rows that hold comments only',
    (texts) =>
      new Map([...texts].map(([name, text]) => [name, name.endsWith('.csv') ? text.replaceAll(/^p,/gm, '#p,') : text])),
    'model.conf:1:1 no-rows',
  ],
  ['no model', put('model.conf', undefined), 'model.conf:1:1 model'],
  ['an empty model', put('model.conf', ''), 'model.conf:1:1 model'],
  ['no codes', put('codes.yaml', undefined), 'codes.yaml:1:1 missing-file'],
  ['a file of rows without a number', put('policy.csv', LIMIT), 'policy.csv:1:1 unknown-file'],
  ['a file that an editor left', put('20-limit.csv~', LIMIT), '20-limit.csv~:1:1 unknown-file'],
  ['a file with another ending', put('20-limit.CSV', LIMIT), '20-limit.CSV:1:1 unknown-file'],
  ['cases that nothing reads', put('cases/more.yml', 'x: 1'), 'cases/more.yml:1:1 unknown-file'],
  ['rows among the cases', put('cases/20-limit.csv', LIMIT), 'cases/20-limit.csv:1:1 unknown-file'],
  [
    'a byte order mark',
    (texts) => put('20-limit.csv', `\ufeff${texts.get('20-limit.csv')}`)(texts),
    '20-limit.csv:1:1 unseen-character',
  ],
  ['NUL', limit(`${LIMIT}\n# \0`), '20-limit.csv:3:3 unseen-character'],
  ['an escape sequence of a terminal', limit(`${LIMIT}\n# \u001b[2K`), '20-limit.csv:3:3 unseen-character'],
  [
    'a space of no width',
    replaced('codes.yaml', 'The business is', 'The\u200b business is'),
    'codes.yaml:24:3 codes',
    'codes.yaml:25:15 unseen-character',
  ],
  ['a no-break space in a row', limit(LIMIT.replace(' *', '\u00a0*')), '20-limit.csv:2:19 unseen-character'],
  [
    'a no-break space that indents YAML',
    replaced('codes.yaml', '  status: 429', '\u00a0 status: 429'),
    'codes.yaml:14:1 unseen-character',
  ],
  [
    'a byte order mark in YAML',
    (texts) => put('codes.yaml', `\ufeff${texts.get('codes.yaml')}`)(texts),
    'codes.yaml:1:1 unseen-character',
  ],
  ['a space of another width', limit(`#\u2009\n${LIMIT}`), '20-limit.csv:2:2 unseen-character'],
  ['a letter that shows nothing', limit(`# \u3164\n${LIMIT}`), '20-limit.csv:2:3 unseen-character'],
  ['a change of direction', limit(`# \u202e${LIMIT}\n${LIMIT}`), '20-limit.csv:2:3 unseen-character'],
  ['another change of direction', limit(`# \u061c\n${LIMIT}`), '20-limit.csv:2:3 unseen-character'],
  ['a soft hyphen', limit(`# a\u00adb\n${LIMIT}`), '20-limit.csv:2:4 unseen-character'],
  ['a tag', limit(`# a\u{e0041}\n${LIMIT}`), '20-limit.csv:2:4 unseen-character'],
  ['a separator of lines', limit(`# a\u2028${LIMIT}\n${LIMIT}`), '20-limit.csv:2:4 unseen-character'],
];

const MODELS: readonly Trap[] = [
  ...[
    '!some(where (p.eft == deny))',
    'some(where (p.eft == allow))',
    'some(where (p.eft == allow)) && !some(where (p.eft == deny))',
    'subjectPriority(p.eft) || deny',
  ].map(
    (effect): Trap => [
      `the effect ${effect}`,
      replaced('model.conf', 'priority(p.eft) || deny', effect),
      'model.conf:11:1 model',
    ],
  ),
  [
    'a matcher that no action guards',
    replaced('model.conf', 'keyMatch(r.request.action, p.action) && ', ''),
    'model.conf:14:1 model',
  ],
  [
    'a matcher with a way round it',
    replaced('model.conf', 'eval(p.when)', 'eval(p.when) || true'),
    'model.conf:14:1 model',
  ],
  [
    'a second matcher',
    (texts) => put('model.conf', `${texts.get('model.conf')}m2 = true\n`)(texts),
    'model.conf:15:1 model',
  ],
  [
    'a section more',
    (texts) => put('model.conf', `${texts.get('model.conf')}[role_definition]\n`)(texts),
    'model.conf:15:1 model',
  ],
  ['another order of the facts', replaced('model.conf', 'key, user', 'user, key'), 'model.conf:5:1 model'],
  ['another order of the columns', replaced('model.conf', 'eft, code', 'code, eft'), 'model.conf:8:1 model'],
  ['a priority among the columns', replaced('model.conf', 'eft, code', 'eft, code, priority'), 'model.conf:8:1 model'],
];

/** What Casbin's own adapter refuses too. */
const UNLOADABLE = new Set([
  'a quote that is not closed',
  'a field over two lines',
  'the effect subjectPriority(p.eft) || deny',
]);

describe('a policy folder', () => {
  let texts: PolicyTexts;
  let revoked: Facts;

  before(async () => {
    texts = await shippedTexts();
    const policy = await shippedPolicy();
    const active = [...situations(policy.rows, BUILT_IN)].find(
      (facts) => decide(policy, facts).effect === 'allow',
    ) as Facts;
    revoked = { ...active, key: { ...active.key, status: 'revoked' } };
  });

  const suite = (title: string, traps: readonly Trap[], stock: boolean): void => {
    describe(`is refused for ${title}:`, () => {
      for (const [name, edit, ...findings] of traps) {
        it(name, async () => {
          const folder = edit(texts);
          if (stock) expect(await loads(folder), 'stock Casbin loads it').to.equal(!UNLOADABLE.has(name));
          expect(await findingsOf(folder)).to.deep.equal(findings);
        });
      }
    });
  };

  suite('a row with', ROWS, true);
  suite('a model with', MODELS, true);
  suite('files with', FILES, false);

  it('is refused with all findings at once, sorted by place', async () => {
    const edits: Edit[] = [
      put('model.conf', undefined),
      replaced('90-allow.csv', 'allow, OK\np, allow-on', 'deny, OK\np, Allow-on'),
      replaced('10-api-key.csv', 'r.key.status', 'r.keys.status'),
      limit(`${LIMIT.replace('deny', 'dney').replace('exceeded"', 'exceed"')}\u200b`),
      replaced('codes.yaml', 'status: 429', 'status: 500'),
      put('zz.txt', ''),
    ];
    expect(await findingsOf(edits.reduce((folder, edit) => edit(folder), texts))).to.deep.equal([
      '10-api-key.csv:2:24 unknown-fact',
      '20-limit.csv:2:24 unknown-fact',
      '20-limit.csv:2:41 row-effect',
      '20-limit.csv:2:47 unknown-code',
      '20-limit.csv:2:59 unseen-character',
      '90-allow.csv:2:64 row-effect',
      '90-allow.csv:3:4 row-shape',
      'codes.yaml:14:3 codes',
      'model.conf:1:1 model',
      'zz.txt:1:1 unknown-file',
    ]);
  });

  describe('with which stock Casbin would allow a revoked key:', () => {
    const stockAllows = async (folder: PolicyTexts): Promise<void> => {
      expect((await stockOf(folder)).enforceSync(...stockArguments(revoked))).to.equal(true);
      expect(await findingsOf(folder)).not.to.deep.equal([]);
    };

    it('a misspelt effect, whose row is never tried', async () => {
      await stockAllows(
        edited(texts, '10-api-key.csv', `"r.key.status != 'active'", deny`, `"r.key.status != 'active'", dney`),
      );
    });

    it('a misspelt type of line', async () => {
      await stockAllows(edited(texts, '10-api-key.csv', 'p, key-not-active', 'P, key-not-active'));
    });

    it('a missing column', async () => {
      await stockAllows(
        edited(texts, '10-api-key.csv', `, "r.key.status != 'active'", deny`, `, "r.key.status != 'active'"`),
      );
    });

    it('a row behind a carriage return', async () => {
      await stockAllows(edited(texts, '10-api-key.csv', 'its user.\n', 'its user.\r'));
    });

    it('a policy effect that allows what no row denies', async () => {
      const deniesOnly = modelFor(BUILT_IN).replace('priority(p.eft) || deny', '!some(where (p.eft == deny))');
      for (const rows of [[], [['x', 'other:action', 'true', 'deny', 'X']]]) {
        expect((await stockEnforcer(rows, deniesOnly)).enforceSync(...stockArguments(revoked))).to.equal(true);
        expect((await stockEnforcer(rows)).enforceSync(...stockArguments(revoked))).to.equal(false);
      }
    });
  });
});

const loads = (folder: PolicyTexts): Promise<boolean> =>
  stockOf(folder).then(
    () => true,
    () => false,
  );
