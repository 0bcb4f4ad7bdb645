/** The networks of `facts.yaml`, inline and in files beside it: what is read, and each fault with its place. */

import { expect } from 'chai';
import fc from 'fast-check';
import { createToken } from '../../../src/credentials/token.ts';
import { decide } from '../../../src/policy/decide.ts';
import type { DeclaredNetwork } from '../../../src/policy/declared/declaration.ts';
import { parseFactsFile } from '../../../src/policy/folder/facts-file.ts';
import {
  checkFiles,
  checkSizes,
  LIMITS,
  LINE_END,
  linesOf,
  type PolicyTexts,
} from '../../../src/policy/folder/files.ts';
import { collector, printFinding } from '../../../src/policy/folder/findings.ts';
import { parseNetworkFile, readNetworkFiles } from '../../../src/policy/folder/network-files.ts';
import { assemblePast, assemblePolicy, buildPolicy } from '../../../src/policy/policy.ts';
import { nextTurn, runInSlices, runToEnd } from '../../../src/policy/time-slices.ts';
import { edited, SEED, shippedTexts, times, withFile } from '../texts.ts';

/** The networks that a folder with this section declares, and all findings. */
function read(section: string, files: Readonly<Record<string, string>> = {}) {
  const { report, all } = collector();
  const texts = new Map(Object.entries(files));
  const declared = runToEnd(readNetworkFiles(parseFactsFile(`networks:\n${section}`, report), texts, report));
  return { networks: declared.networks, found: all().map(printFinding) };
}

const ofFile = (text: string): { readonly prefixes: readonly string[]; readonly found: readonly string[] } => {
  const { report, all } = collector();
  return { prefixes: runToEnd(parseNetworkFile('x.txt', text, report)), found: all().map(printFinding) };
};

describe('the networks of facts.yaml', () => {
  it('are prefixes inline or in a file, and can be said to withhold', () => {
    const { networks, found } = read(
      [
        '  office: [203.0.113.0/24, "2001:db8::/32"]',
        '  partners: { prefixes: [192.0.2.7], withholds: true }',
        '  blocked: { file: blocked.txt, withholds: true }',
        '  also: { file: blocked.txt }',
        '  empty: { file: empty.txt }',
      ].join('\n'),
      { 'blocked.txt': '198.51.100.0/24\n2001:db8:bad::/48\n', 'empty.txt': '# none yet\n' },
    );
    expect(found).to.deep.equal([]);
    const prefixes = ['198.51.100.0/24', '2001:db8:bad::/48'];
    const expected: DeclaredNetwork[] = [
      { name: 'office', withholds: false, prefixes: ['203.0.113.0/24', '2001:db8::/32'] },
      { name: 'partners', withholds: true, prefixes: ['192.0.2.7'] },
      { name: 'blocked', withholds: true, prefixes, file: 'blocked.txt' },
      { name: 'also', withholds: false, prefixes, file: 'blocked.txt' },
      { name: 'empty', withholds: false, prefixes: [], file: 'empty.txt' },
    ];
    expect(networks).to.deep.equal(expected);
  });

  it('may have a list that is empty today: the row that reads it is not refused for that', async () => {
    const texts = new Map([
      ...(await shippedTexts()),
      [
        'facts.yaml',
        'networks:\n  blocked: { file: blocked.txt, withholds: true }\n  none: { prefixes: [], withholds: true }\n',
      ],
      ['blocked.txt', '# none today\n'],
      ['45-network.csv', 'p, blocked, *, "r.network.blocked", deny, PERMISSION_DENIED\n'],
    ]);
    expect((await buildPolicy(texts)).findings.map(printFinding)).to.deep.equal([]);
    const inline = withFile(texts, '46-none.csv', 'p, none, *, "r.network.none", deny, PERMISSION_DENIED\n');
    expect((await buildPolicy(inline)).findings.map(({ rule }) => rule)).to.deep.equal(['row-never-matches']);
  });

  const refused: Readonly<Record<string, readonly [section: string, place: string, message: RegExp]>> = {
    'host bits': ['  office: [10.0.0.0/8, 10.1.2.3/8]', '2:24', /write 10\.0\.0\.0\/8 for the network, or 10\.1\.2\.3/],
    'a number for an address': ['  office: [10.1]', '2:12', /write a prefix in quotes/],
    'one text in place of a list': ['  office: 10.0.0.0/8', '2:11', /write a list of prefixes/],
    nothing: ['  office:', '2:10', /write a list of prefixes/],
    'an empty map': ['  office: {}', '2:11', /write a list of prefixes/],
    'prefixes and a file': ['  office: { prefixes: [], file: a.txt }', '2:11', /write a list of prefixes/],
    'a member that nothing reads': ['  office: { prefixes: [], cidr: 1 }', '2:33', /nothing reads "cidr"/],
    'withholds: yes': ['  office: { prefixes: [], withholds: yes }', '2:38', /withholds is true or false/],
    'a file in another folder': ['  office: { file: ../blocked.txt }', '2:19', /lies beside facts.yaml/],
    'a file with a path': ['  office: { file: /etc/hosts.txt }', '2:19', /lies beside facts.yaml/],
    'a file in cases': ['  office: { file: cases/blocked.txt }', '2:19', /lies beside facts.yaml/],
    'a file of another kind': ['  office: { file: codes.yaml }', '2:19', /lies beside facts.yaml/],
    'a capital letter': ['  Office: []', '2:11', /is no name/],
    'the name of a member of every object': ['  constructor: []', '2:16', /is reserved/],
    'a list of networks': ['  - office', '2:3', /networks is a map/],
  };
  for (const [title, [section, place, message]] of Object.entries(refused)) {
    it(`are refused for ${title}, with its place`, () => {
      const { found } = read(section);
      expect(found).to.have.lengthOf(1);
      expect(found[0])
        .to.match(message)
        .and.to.satisfy((one: string) => one.startsWith(`facts.yaml:${place}: `), found[0]);
    });
  }

  it('are refused beyond 64', () => {
    const { networks, found } = read(Array.from({ length: 65 }, (_, n) => `  n${n}: []`).join('\n'));
    expect(networks).to.have.lengthOf(64);
    expect(found).to.deep.equal(['facts.yaml:2:3: networks has 65 names; at most 64 can be declared [facts]']);
  });

  it('name files that are there, and no other file of that kind is', () => {
    const section = '  blocked: { file: blocked.txt }';
    expect(read(section).found).to.deep.equal([
      'blocked.txt:1:1: facts.yaml names this file, and it is missing; put it beside facts.yaml [missing-file]',
    ]);
    expect(read(section, { '../blocked.txt': '' }).found).to.deep.equal([]);
    expect(read(section, { 'blocked.txt/': '' }).found).to.deep.equal([]);
    expect(read(section, { 'blocked.txt': '', 'other.txt': '10.0.0.1' }).found).to.deep.equal([
      'other.txt:1:1: no network of facts.yaml names this file; remove it, or write NAME: { file: other.txt } there [unknown-file]',
    ]);
  });

  it('have at most so many prefixes together', () => {
    const text = '10.0.0.1\n'.repeat(LIMITS.prefixes / 4);
    const named = (count: number): string =>
      Array.from({ length: count }, (_, n) => `  n${n}: { file: a.txt }`).join('\n');
    expect(read(named(4), { 'a.txt': text }).found).to.deep.equal([]);
    const [found, ...others] = read(`${named(4)}\n  one: [10.0.0.1]`, { 'a.txt': text }).found;
    expect(others).to.deep.equal([]);
    expect(found).to.match(
      /^facts.yaml:1:1: the networks have at most 2000000 prefixes together, and 2000001 now; .*\[too-large\]$/,
    );
  }).timeout(30_000);
});

describe('a network file', () => {
  it('has one prefix a line, comments and blank lines, and line ends of any system', () => {
    const text =
      '# from the provider\r\n\r\n203.0.113.0/24\r\n  2001:db8::/32   # both\n\t192.0.2.1#x\n#10.0.0.0/8\n   \n198.51.100.0/24';
    const prefixes = ['203.0.113.0/24', '2001:db8::/32', '192.0.2.1', '198.51.100.0/24'];
    expect(ofFile(text)).to.deep.equal({ prefixes, found: [] });
    expect(ofFile('')).to.deep.equal({ prefixes: [], found: [] });
  });

  it('is refused line by line, with line and column, and what is well-formed is kept', () => {
    const { prefixes, found } = ofFile(
      '10.0.0.0/8\n 10.0.0.1/8\r\n010.0.0.1\n203.0.113.0/24 192.0.2.0/24\n\n\t::1/0 # x\n::1',
    );
    expect(prefixes).to.deep.equal(['10.0.0.0/8', '::1']);
    expect(found.map((one) => one.replace(/ .*\[/, ' ['))).to.deep.equal([
      'x.txt:2:2: [prefix]',
      'x.txt:3:1: [prefix]',
      'x.txt:4:1: [prefix]',
      'x.txt:6:2: [prefix]',
    ]);
  });

  it('is read no further than findings are listed', () => {
    const junk = 'junk\n'.repeat(200_000);
    const { found } = ofFile(junk);
    expect(found).to.have.lengthOf(1001);
    let reported = 0;
    const count = (): void => {
      reported += 1;
    };
    runToEnd(parseNetworkFile('x.txt', junk, count));
    expect(reported).to.equal(1001);
    expect(found.at(-1)).to.match(/^x.txt:1001:1: only the first 1000 findings/);
  });

  it(`has the lines that splitting it at once gives [seed ${SEED}]`, () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('a', '\n', '\r', '\r\n'), maxLength: 12 }), (text) => {
        expect([...linesOf(text)]).to.deep.equal(text.split(LINE_END));
      }),
      times(5000),
    );
  });
});

describe('a policy with network files', () => {
  const SECTION = 'networks:\n  blocked: { file: blocked.txt }\nactions:\n';
  let texts: PolicyTexts;

  before(async () => {
    texts = edited(await shippedTexts(), 'facts.yaml', 'actions:\n', SECTION);
  });

  const withBlocked = (text: string): PolicyTexts => withFile(texts, 'blocked.txt', text);
  const found = async (given: PolicyTexts): Promise<string[]> => (await buildPolicy(given)).findings.map(printFinding);

  it('has another digest with another list, down to a comment', async () => {
    const digests = await Promise.all(
      ['10.0.0.0/8\n', '10.0.0.0/9\n', '10.0.0.0/8\n# x\n'].map(
        async (text) => (await assemblePolicy(withBlocked(text))).digest,
      ),
    );
    expect(new Set(digests).size).to.equal(3);
    expect((await assemblePolicy(withBlocked('10.0.0.0/8\n'))).digest).to.equal(digests[0]);
  });

  it('decides on recorded facts as it did, without its list being read, and looks up no address', async () => {
    const ruled = withFile(
      withBlocked('10.0.0.0/8\n'),
      '05-x.csv',
      'p, x, *, "r.network.blocked", deny, PERMISSION_DENIED\n',
    );
    const [now, past] = [await assemblePolicy(ruled), await assemblePast(ruled)];
    expect(past.digest).to.equal(now.digest);
    for (const [ip, rule] of [
      ['10.0.0.1', 'x'],
      ['192.0.2.1', 'key-not-active'],
    ] as const) {
      const facts = now.schema.read({
        ...now.schema.nothingKnown,
        network: now.schema.networks.groupAt(ip),
        request: { ...now.schema.nothingKnown.request, action: 'call:create', addressed: true },
      });
      expect([decide(now, facts).rule, decide(past, past.schema.read(facts)).rule]).to.deep.equal([rule, rule]);
    }
    expect(() => past.schema.networks.groupAt('10.0.0.1')).to.throw('were not read');
    expect((await assemblePast(withFile(ruled, 'blocked.txt', 'no prefix\n'))).digest).not.to.equal(now.digest);
  });

  it('is refused with a secret, or what cannot be seen or read, in a list, at its place and once', async () => {
    const key = createToken('apiKey');
    expect(await found(withBlocked(`10.0.0.1\n10.0.0.2 # ${key}\n`))).to.satisfy(
      ([first, ...others]: string[]) =>
        others.length === 0 && first?.startsWith('blocked.txt:2:12: ') && !first.includes(key),
    );
    const rules = async (text: string): Promise<string[]> =>
      (await buildPolicy(withBlocked(text))).findings.map(({ line, column, rule }) => `${line}:${column} ${rule}`);
    expect(await rules('\ufeff10.0.0.1\n')).to.deep.equal(['1:1 unseen-character']);
    expect(await rules('10.0.0.1\u00a0# x\n')).to.deep.equal(['1:9 unseen-character']);
    expect(await rules('10.0.0.1\n# f\ufffdr\n')).to.deep.equal(['2:4 not-utf-8']);
    expect(await rules(`10.0.0.1\n#${'x'.repeat(LIMITS.line)}\n`)).to.deep.equal(['2:1 too-large']);
  });

  it('is refused with a list of more than 16 MiB, or lists of more than 64 MiB, before anything is read', async () => {
    const most = '#'
      .repeat(4000)
      .concat('\n')
      .repeat(Math.ceil(LIMITS.network / 4001));
    expect(await found(withBlocked(most))).to.deep.equal([
      `blocked.txt:1:1: this file has at most 16777216 characters, and ${most.length} now; split it [too-large]`,
    ]);
    const five = Array.from({ length: 5 }, (_, n) => [`n-${n}.txt`, most.slice(0, LIMITS.network)] as const);
    expect(await found(new Map([...texts, ...five]))).to.deep.equal([
      `.:1:1: the network files have at most 67108864 characters together, and ${5 * LIMITS.network} now [too-large]`,
    ]);
    const { report, all } = collector();
    expect(runToEnd(checkSizes(new Map([...texts, ...five.slice(0, 4)]), report))).to.equal(true);
    expect(all()).to.deep.equal([]);
  });

  it('is refused where its networks overlap in more ways than can be proved', async () => {
    const names = Array.from({ length: 13 }, (_, bit) => bit);
    const networks = names.map((bit) => {
      const numbers = Array.from({ length: 4097 }, (_, number) => number).filter((number) => (number >> bit) % 2 === 1);
      return [`n${bit}.txt`, numbers.map((number) => `10.0.${number >> 8}.${number & 255}`).join('\n')] as const;
    });
    const section = names.map((bit) => `  n${bit}: { file: n${bit}.txt }\n`).join('');
    const given = edited(await shippedTexts(), 'facts.yaml', 'actions:\n', `networks:\n${section}actions:\n`);
    expect(await found(new Map([...given, ...networks]))).to.deep.equal([
      'facts.yaml:1:1: these networks overlap in more than 4096 ways; declare fewer, or such as do not overlap [too-large]',
    ]);
  });

  it('is read in slices: a list of 16 MiB leaves the event loop its turns', async () => {
    const line = '203.0.113.0/24\n';
    const big = line.repeat(Math.floor(LIMITS.network / line.length));
    let [turns, done] = [0, false];
    const turning = (async () => {
      while (!done) {
        turns += 1;
        await nextTurn();
      }
    })();
    const { report, all } = collector();
    expect(await runInSlices(checkSizes(withBlocked(big), report))).to.equal(true);
    await runInSlices(checkFiles(withBlocked(big), report));
    const prefixes = await runInSlices(parseNetworkFile('blocked.txt', big, report));
    done = true;
    await turning;
    expect([all(), prefixes.length]).to.deep.equal([[], big.length / line.length]);
    expect(turns).to.be.above(50);
  }).timeout(60_000);
});
