/**
 * Denial of service against the checker: each of these folders tries to hang it, crash it or fill its memory, and must only be
 * refused. A test here fails by its timeout, or by what was thrown.
 */

import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { Refusal } from '../../src/errors.ts';
import type { PolicyTexts } from '../../src/policy/folder/files.ts';
import { buildPolicy } from '../../src/policy/policy.ts';
import { readPolicyFolder } from '../../src/rollout/folder.ts';
import { amount } from '../support/long.ts';
import { rejection } from '../support/rejection.ts';
import { shippedTexts } from './texts.ts';

const lines = (count: number, line: (index: number) => string): string =>
  Array.from({ length: count }, (_, index) => line(index)).join('\n');
const rows = (count: number, action: (index: number) => string, when: (index: number) => string): string =>
  lines(count, (index) => `p, x-${index}, ${action(index)}, "${when(index)}", deny, PERMISSION_DENIED`);
/** Enough for what grows faster than linearly to show. */
const MANY = amount(130, 400, 1000);
const any = (): string => '*';
const always = (): string => 'true';

type Attack = readonly [title: string, file: string, text: string, ...finding: string[]];

const ATTACKS: readonly Attack[] = [
  ['thousands of rows that hide each other', '01-x.csv', rows(MANY, any, always), 'row-hidden'],
  ['thousands of hidden rows', '99-x.csv', rows(MANY, any, always), 'row-hidden'],
  ['thousands of keys by id', '35-x.csv', rows(MANY, any, (n) => `r.key.id == 'k${n}'`)],
  [
    'thousands of keys, each with a user',
    '35-x.csv',
    rows(MANY, any, (n) => `r.key.id == 'k${n}' && r.user.id == 'u${n}'`),
  ],
  [
    'hundreds of ids that are not meant',
    '35-x.csv',
    rows(amount(30, 80, 300), any, (n) => `r.key.id != 'k${n}' && r.user.id != 'u${n}'`),
  ],
  [
    'ids of four facts',
    '35-x.csv',
    rows(
      400,
      any,
      (n) =>
        `${['key.id', 'user.id', 'target.id', 'key.environment']
          .map((fact) => `r.${fact} == 'i${n}'`)
          .join(' != false || ')
          .replaceAll(' != false', '')}`,
    ),
  ],
  [
    'thousands of actions',
    '35-x.csv',
    rows(
      MANY,
      (n) => `n${n}:create`,
      () => 'r.limit.exceeded',
    ),
  ],
  [
    'thousands of nouns',
    '35-x.csv',
    rows(
      MANY,
      (n) => `n${n}:*`,
      () => 'r.limit.exceeded',
    ),
  ],
  [
    'nested nouns',
    '35-x.csv',
    rows(
      60,
      (n) => `${'a:'.repeat(n + 1)}*`,
      () => 'r.limit.exceeded',
    ),
  ],
  [
    'actions that are all x',
    '35-x.csv',
    rows(
      120,
      (n) => `${'x'.repeat(n + 1)}:*`,
      (n) => `r.key.id == '${'x'.repeat(n + 1)}'`,
    ),
  ],
  [
    'thousands of actions inside rules',
    '35-x.csv',
    rows(amount(12, 40), any, (n) =>
      Array.from({ length: 25 }, (_, m) => `keyMatch(r.request.action, 'n${n}-${m}:a')`).join(' || '),
    ),
  ],
  [
    'rules with all the operators that they may have',
    '35-x.csv',
    rows(500, any, () => Array(30).fill('(r.key.userManagement || !r.limit.exceeded)').join(' && ').slice(0, 1300)),
  ],
  ['a million rows', '35-x.csv', 'q\n'.repeat(500_000), 'too-large'],
  ['a million lines', '35-x.csv', '\n'.repeat(1_000_000)],
  ['thousands of characters that cannot be seen', '35-x.csv', '\u200b\n'.repeat(9000), 'too-many-findings'],
  ['a line of a million commas', '35-x.csv', ','.repeat(1_000_000), 'too-large'],
  ['a line of a million quotes', '35-x.csv', '"'.repeat(1_000_000), 'too-large'],
  ['lines of quotes', '35-x.csv', lines(250, () => '"'.repeat(4000)), 'row-shape'],
  ['thousands of codes', 'codes.yaml', lines(20_000, (n) => `A${n}: 1`), 'too-many-findings'],
  [
    'codes with prototypes for names',
    'codes.yaml',
    'constructor: 1\nhasOwnProperty: 1\n__proto__: {}\nOK: {}',
    'codes',
  ],
  ['brackets', 'codes.yaml', lines(60, () => '['.repeat(3900)), 'yaml-syntax'],
  ['braces', 'codes.yaml', lines(60, () => '{a: '.repeat(900)), 'yaml-syntax'],
  ['nested keys', 'codes.yaml', lines(700, (n) => `${' '.repeat(n)}a:`), 'yaml-syntax'],
  ['keys that are maps', 'codes.yaml', lines(60, () => '? '.repeat(1900)), 'yaml-syntax'],
  ['nested lists', 'cases/x.yaml', lines(60, () => '- '.repeat(1900))],
  ['anchors', 'codes.yaml', lines(10_000, (n) => `A${n}: &a${n} {}`), 'codes'],
  [
    'aliases that multiply',
    'invariants.yaml',
    `invariants:\n- &a [x, x]\n${lines(20, (n) => `- &b${n} [*a, *a, *a, *a, *a]`)}`,
    'yaml-syntax',
  ],
  ['a text folded over many spaces', 'codes.yaml', `A: "${lines(60, () => ' '.repeat(3900))}"`],
  [
    'thousands of invariants',
    'invariants.yaml',
    `invariants:\n${lines(amount(250, 800, 3000), (n) => `- {name: n, when: "r.key.id == 'k${n}'", never: USER_DISABLED}`)}`,
    'invariant-violated',
  ],
  [
    'invariants that multiply',
    'invariants.yaml',
    `invariants:\n${lines(amount(250, 1000, 3000), (n) => `- {name: n, when: "r.key.id == 'k${n}' && r.user.id != 'u${n}'", never: OK}`)}`,
  ],
];

describe('an attack on the checker', function () {
  this.timeout(60_000);

  let texts: PolicyTexts;

  before(async () => {
    texts = await shippedTexts();
  });

  for (const [title, file, text, ...wanted] of ATTACKS) {
    it(`by ${title} ends, with findings or without`, async () => {
      const { findings } = await buildPolicy(new Map([...texts, [file, text]]));
      expect(findings.map(({ rule }) => rule)).to.include.members(wanted);
    });
  }

  it('by cases times rows ends', async () => {
    const base = (texts.get('cases/rows.yaml') ?? '').replace(/cases:[\s\S]*/, 'cases:\n');
    const want = 'want: {effect: deny, code: RATE_LIMITED, rule: limit-exceeded}';
    const folder = new Map([...texts, ['99-x.csv', rows(MANY, any, always)]]);
    for (let file = 0; file < 3; file += 1)
      folder.set(`cases/x${file}.yaml`, `${base}${lines(amount(250, 800, 2500), (n) => `- {name: n${n}, ${want}}`)}`);
    expect((await buildPolicy(folder)).findings.map(({ rule }) => rule)).to.include('case-fails');
  });

  it('does not block the event loop', async () => {
    let turns = 0;
    const timer = setInterval(() => (turns += 1), 1);
    await buildPolicy(
      new Map([
        ...texts,
        [
          '35-x.csv',
          rows(
            MANY,
            (n) => `n${n}:create`,
            () => 'r.limit.exceeded',
          ),
        ],
      ]),
    );
    clearInterval(timer);
    expect(turns).to.be.above(3);
  });

  describe('by files that are not plain', () => {
    let folder: string;

    beforeEach(async () => {
      folder = await mkdtemp(path.join(tmpdir(), 'policies-'));
    });
    afterEach(() => rm(folder, { recursive: true }));

    const found = async (): Promise<string[]> =>
      (await buildPolicy(await readPolicyFolder(folder))).findings.map(({ file, rule }) => `${file} ${rule}`);

    it('a pipe that nobody writes to is found, unread', async () => {
      execFileSync('mkfifo', [path.join(folder, '10-x.csv')]);
      expect(await found()).to.include('10-x.csv/ unknown-file');
    });

    it('a device without an end is found, unread', async () => {
      await symlink('/dev/zero', path.join(folder, '10-x.csv'));
      expect(await found()).to.include('10-x.csv link-outside');
    });

    it('a file of gigabytes is refused unread', async () => {
      const file = path.join(folder, '10-x.csv');
      await writeFile(file, '');
      await truncate(file, 8 * 2 ** 30);
      expect(await rejection(readPolicyFolder(folder))).to.be.instanceOf(Refusal);
    });

    it('a folder of very many files is not read whole', async () => {
      for (let file = 0; file < 600; file += 1) await writeFile(path.join(folder, `f${file}.md`), 'x');
      const { findings } = await buildPolicy(await readPolicyFolder(folder));
      expect(findings.map(({ rule }) => rule)).to.deep.equal(['too-large']);
    });
  });
});
