/** Declared networks: which of them an address lies in, and which combinations of them there are. */

import { expect } from 'chai';
import fc from 'fast-check';
import { compileNetworks, MOST_GROUPS, type Networks, TooManyGroups } from '../../../src/policy/declared/networks.ts';
import { lastOf, type Prefix, parsePrefix } from '../../../src/policy/declared/prefix.ts';
import { nextTurn, runInSlices, runToEnd } from '../../../src/policy/time-slices.ts';
import { amount } from '../../support/long.ts';
import { SEED, times } from '../texts.ts';
import { bigOf, liesIn, mapped, textOf } from './addresses.ts';

type Declared = Readonly<Record<string, readonly string[]>>;

const compile = (declared: Declared): Networks =>
  runToEnd(compileNetworks(Object.entries(declared).map(([name, prefixes]) => ({ name, prefixes, withholds: false }))));

/** The networks that an address lies in, by name. */
const at = (networks: Networks, ip: string | undefined): string[] =>
  Object.entries(networks.groupAt(ip)).flatMap(([name, isIn]) => (isIn ? [name] : []));

const groupsOf = (networks: Networks): string[] => networks.groups.map((group) => JSON.stringify(group)).sort();

/** Few starts and few lengths, so that prefixes nest, repeat and touch; now and then any prefix. */
const near = (words: number, most: number): fc.Arbitrary<string> =>
  fc
    .tuple(fc.nat({ max: 15 }), fc.constantFrom(0, 1, most - 4, most - 3, most - 2, most - 1, most))
    .map(([low, length]) => {
      const free = BigInt(most - length);
      const ends = low % 3 === 0 ? (1n << BigInt(most)) - 1n - BigInt(low) : BigInt(low);
      return `${textOf(words, (ends >> free) << free)}/${length}`;
    });
const anywhere = fc.tuple(fc.oneof(fc.ipV4(), fc.ipV6()), fc.nat({ max: 128 })).map(([ip, some]) => {
  const [words, value] = bigOf(ip);
  const free = BigInt(some % (32 * words + 1));
  return `${textOf(words, (value >> free) << free)}/${32 * words - Number(free)}`;
});
/** All of ::/80 that is not mapped, in 16 prefixes. */
const NOT_MAPPED = Array.from({ length: 16 }, (_, bits) => {
  const first = (1n << 48n) - (1n << BigInt(48 - bits));
  return `${textOf(4, first)}/${81 + bits}`;
});
/** Around what is mapped, and what is left over of it. */
const aroundMapped = fc.constantFrom('::/80', '::/79', '::1:0:0:0/80', '::/32', ...NOT_MAPPED);
const prefix = fc.oneof(
  { arbitrary: near(1, 32), weight: 4 },
  { arbitrary: near(4, 128), weight: 4 },
  { arbitrary: anywhere, weight: 2 },
  { arbitrary: aroundMapped, weight: 1 },
  {
    arbitrary: near(1, 32).map((text) =>
      text.replace(/(.*)\/(.*)/, (_, ip, length) => `${mapped(ip)}/${Number(length) + 96}`),
    ),
    weight: 1,
  },
);
const prefixes = fc
  .array(fc.oneof({ arbitrary: prefix.map((one) => [one]), weight: 9 }, fc.constant(NOT_MAPPED)), { maxLength: 8 })
  .map((lists) => lists.flat());
const someNetworks = fc
  .array(prefixes, { maxLength: 5 })
  .map((lists): Declared => Object.fromEntries(lists.map((list, index) => [`n${index}`, list])));

/** The first and the last address of each prefix, and those beside them: a range begins and ends nowhere else. */
function edges(declared: Declared): string[] {
  const all = Object.values(declared)
    .flat()
    .map((text) => parsePrefix(text) as Prefix);
  return ['0.0.0.0', '255.255.255.255', '::', textOf(4, (1n << 128n) - 1n)].concat(
    all.flatMap((one) => {
      const words = one.first.length;
      const value = (address: readonly number[]): bigint =>
        address.reduce((sum, word) => (sum << 32n) | BigInt(word), 0n);
      const [first, last] = [value(one.first), value(lastOf(one))];
      return [first - 1n, first, last, last + 1n]
        .filter((address) => address >= 0n && address >> BigInt(32 * words) === 0n)
        .map((address) => textOf(words, address));
    }),
  );
}

describe('declared networks', () => {
  it('are asked for the example of the documents', () => {
    const networks = compile({
      office: ['203.0.113.0/24', '2001:db8::/32'],
      berlin: ['203.0.113.128/25'],
      blocked: ['198.51.100.7', '203.0.113.255'],
    });
    expect(at(networks, '203.0.113.1')).to.deep.equal(['office']);
    expect(at(networks, '203.0.113.128')).to.deep.equal(['office', 'berlin']);
    expect(at(networks, '203.0.113.255')).to.deep.equal(['office', 'berlin', 'blocked']);
    expect(at(networks, '::ffff:203.0.113.255')).to.deep.equal(['office', 'berlin', 'blocked']);
    expect(at(networks, '::203.0.113.255')).to.deep.equal([]);
    expect(at(networks, '2001:DB8:1::')).to.deep.equal(['office']);
    expect(at(networks, '198.51.100.7')).to.deep.equal(['blocked']);
    expect(at(networks, '198.51.100.6')).to.deep.equal([]);
    expect(at(networks, undefined)).to.deep.equal([]);
    expect(
      networks.groups.map((group) =>
        Object.keys(group)
          .filter((name) => group[name])
          .join(),
      ),
    ).to.have.members(['', 'office', 'office,berlin', 'office,berlin,blocked', 'blocked']);
  });

  it(`agree with a second implementation at the edges of all prefixes and anywhere else [seed ${SEED}]`, () => {
    fc.assert(
      fc.property(someNetworks, fc.array(fc.oneof(fc.ipV4(), fc.ipV6()), { maxLength: 20 }), (declared, others) => {
        const networks = compile(declared);
        for (const ip of [...edges(declared), ...others]) {
          const expected = Object.entries(declared).flatMap(([name, prefixes]) => (liesIn(ip, prefixes) ? [name] : []));
          expect(at(networks, ip), ip).to.deep.equal(expected);
          if (!ip.includes(':')) expect(networks.groupAt(mapped(ip))).to.equal(networks.groupAt(ip));
        }
      }),
      times(amount(100, 200, 5000)),
    );
  });

  it(`list exactly the combinations that some address gives [seed ${SEED}]`, () => {
    fc.assert(
      fc.property(someNetworks, (declared) => {
        const networks = compile(declared);
        // Ranges change at edges only, so that those give every combination.
        const found = new Set(edges(declared).map((ip) => networks.groupAt(ip)));
        expect(networks.groups.filter((group) => !found.has(group))).to.deep.equal([]);
        expect(networks.groups).to.have.lengthOf(found.size);
        expect(new Set(groupsOf(networks)).size).to.equal(found.size);
      }),
      times(amount(100, 400, 5000)),
    );
  });

  it('do not list a combination of which only mapped addresses are left, which count as IPv4', () => {
    const networks = compile({ all: ['::/80'], below: NOT_MAPPED });
    expect(groupsOf(networks)).to.deep.equal(['{"all":false,"below":false}', '{"all":true,"below":true}']);
    expect(at(networks, '::fffe:ffff:ffff')).to.deep.equal(['all', 'below']);
    expect(at(networks, '::ffff:0:0')).to.deep.equal([]);
    expect(at(networks, '::1:0:0:0')).to.deep.equal([]);
  });

  it('take in all addresses of a family by /0, and then no address lies in none', () => {
    const v4 = compile({ all: ['0.0.0.0/0'] });
    expect([at(v4, '0.0.0.0'), at(v4, '255.255.255.255'), at(v4, '::'), at(v4, '::ffff:1.2.3.4')]).to.deep.equal([
      ['all'],
      ['all'],
      [],
      ['all'],
    ]);
    const v6 = compile({ all: ['::/0'] });
    expect([at(v6, '0.0.0.0'), at(v6, '::'), at(v6, 'ffff::'), at(v6, '::ffff:1.2.3.4')]).to.deep.equal([
      [],
      ['all'],
      ['all'],
      [],
    ]);
    const both = compile({ all: ['::/0', '0.0.0.0/0'] });
    expect(both.groups).to.deep.equal([{ all: true }]);
    expect(both.nowhere).to.deep.equal({ all: false });
    expect(both.groupAt(undefined)).to.equal(both.nowhere);
  });

  it('join what touches, so that a list and its summary are the same table', () => {
    const halves = compile({ n: ['10.0.0.0/25', '10.0.0.128/25', '10.0.1.0/24', '10.0.0.7', '10.0.0.7/32'] });
    expect([halves.ranges, compile({ n: ['10.0.0.0/23'] }).ranges]).to.deep.equal([4, 4]);
  });

  it('are the same object for the same combination, frozen, without a prototype, in the order of the declaration', () => {
    const networks = compile({ b: ['10.0.0.0/8', 'fc00::/7'], a: ['10.0.0.0/9'] });
    const group = networks.groupAt('10.1.2.3');
    expect(networks.groupAt('10.9.9.9')).to.equal(group);
    expect(networks.groupAt('10.200.0.0')).to.equal(networks.groupAt('fd00::1'));
    expect(networks.groupAt('1.1.1.1')).to.equal(networks.nowhere);
    expect(Object.getPrototypeOf(group)).to.equal(null);
    expect([Object.isFrozen(group), Object.keys(group)]).to.deep.equal([true, ['b', 'a']]);
  });

  it('give the same for an address however many others are asked about in between', () => {
    const networks = compile({ low: ['10.0.0.0/8'] });
    for (let index = 0; index < 20_000; index += 1) {
      const ip = `${index % 20}.0.${index >> 8}.${index & 255}`;
      expect(at(networks, ip)).to.deep.equal(index % 20 === 10 ? ['low'] : []);
    }
  });

  it('are none where none is declared, and one that is empty holds nothing', () => {
    const none = compile({});
    expect([none.groups, none.groupAt('10.0.0.1'), none.groupAt(undefined)]).to.deep.equal([[{}], {}, {}]);
    expect(compile({ empty: [] }).groups).to.deep.equal([{ empty: false }]);
  });

  it('whose file was not read tell of no address, in the other networks neither', () => {
    const declared = [
      { name: 'office', prefixes: ['10.0.0.0/8'], withholds: false },
      { name: 'blocked', prefixes: undefined, file: 'blocked.txt', withholds: false },
    ];
    const networks = runToEnd(compileNetworks(declared));
    for (const ip of ['10.0.0.1', '192.0.2.1', '::1']) expect(() => networks.groupAt(ip)).to.throw('were not read');
    expect(() => networks.groups).to.throw('were not read');
    expect(networks.groupAt(undefined)).to.deep.equal({ office: false, blocked: false });
  });

  it('throw for what is no address, and for a prefix that was not checked', () => {
    const networks = compile({ n: ['10.0.0.0/8'] });
    for (const ip of ['', 'x', '010.0.0.1', 'fe80::1%eth0', '10.0.0.0/8', ' 10.0.0.1']) {
      expect(() => networks.groupAt(ip), ip).to.throw(TypeError);
    }
    expect(() => compile({ n: ['10.0.0.1/8'] })).to.throw(TypeError, 'bits set beyond');
  });

  it('are refused where they overlap in more ways than a proof could go through', () => {
    const names = Array.from({ length: 13 }, (_, index) => `n${index}`);
    const every = (most: number): Declared =>
      Object.fromEntries(
        names.map((name, bit) => [
          name,
          Array.from({ length: most }, (_, number) => number).flatMap((number) =>
            (number >> bit) % 2 ? [textOf(1, BigInt(number))] : [],
          ),
        ]),
      );
    expect(compile(every(MOST_GROUPS)).groups).to.have.lengthOf(MOST_GROUPS);
    expect(() => compile(every(MOST_GROUPS + 1))).to.throw(TooManyGroups, 'overlap in more than 4096 ways');
  });

  it('are compiled in slices: 100,000 prefixes leave the event loop its turns', async () => {
    const prefixes = Array.from({ length: 100_000 }, (_, index) =>
      index % 5 ? `${textOf(1, BigInt(index * 7919 * 4))}/30` : `${textOf(4, BigInt(index * 104_729) << 80n)}/48`,
    );
    let [turns, done] = [0, false];
    const turning = (async () => {
      while (!done) {
        turns += 1;
        await nextTurn();
      }
    })();
    const networks = await runInSlices(compileNetworks([{ name: 'n', prefixes, withholds: false }]));
    done = true;
    await turning;
    expect(turns).to.be.above(10);
    expect(prefixes.slice(0, 500).filter((one) => at(networks, one.split('/')[0])[0] !== 'n')).to.deep.equal([]);
  }).timeout(30_000);
});
