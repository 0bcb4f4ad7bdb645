/** Reading addresses and prefixes: what is taken, and what is refused with what to write instead. */

import { isIP } from 'node:net';
import { expect } from 'chai';
import fc from 'fast-check';
import { ipSchema } from '../../../src/input/scalars.ts';
import { parseAddress, parsePrefix, printed } from '../../../src/policy/declared/prefix.ts';
import { SEED, times } from '../texts.ts';
import { bigOf } from './addresses.ts';

const value = (text: string): readonly [words: number, value: bigint] | undefined => {
  const address = parseAddress(text);
  return address && [address.length, address.reduce((sum, word) => (sum << 32n) | BigInt(word), 0n)];
};

/** The prefix of a text as it would be written. */
const read = (text: string): string => {
  const prefix = parsePrefix(text);
  return 'fault' in prefix ? prefix.fault : `${printed(prefix.first)}/${prefix.length}`;
};

describe('an address', () => {
  it(`is the number that a second implementation reads [seed ${SEED}]`, () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (text) => {
        // ::192.0.2.1 and ::ffff:192.0.2.1 are among them.
        expect(value(text)).to.deep.equal(bigOf(text));
      }),
      times(5000),
    );
  });

  it('is read in each form that a question may state, and no other text is one', () => {
    const texts = ['192.0.2.1', '::', '::1', '2001:DB8::1', '1:2:3:4:5:6:7:8', '1:2:3:4:5:6:7::', '::2:3:4:5:6:7:8'];
    const mixed = [
      '::ffff:192.0.2.1',
      '::192.0.2.1',
      '64:ff9b::192.0.2.1',
      '1:2:3:4:5:6:192.0.2.1',
      '::FFFF:C000:0201',
    ];
    const none = [
      '',
      '1',
      '1.2.3',
      '010.0.0.1',
      '0x7f.1',
      '2130706433',
      '1.2.3.4 ',
      'fe80::1%eth0',
      '1::2::3',
      ':::',
      '[::1]',
      '1.2.3.4/32',
    ];
    for (const text of [...texts, ...mixed, ...none]) {
      expect(parseAddress(text) !== undefined, text).to.equal(ipSchema.safeParse(text).success);
      if (!none.includes(text)) expect(value(text), text).to.deep.equal(bigOf(text));
    }
    expect(texts.length + mixed.length).to.equal(
      [...texts, ...mixed, ...none].filter((text) => parseAddress(text)).length,
    );
  });

  it(`is none exactly where Node says so, zones apart [seed ${SEED}]`, () => {
    const letters = fc.string({ unit: fc.constantFrom(...'0123.:fF%/ x'.split('')), maxLength: 20 });
    fc.assert(
      fc.property(letters, (text) => {
        expect(parseAddress(text) !== undefined).to.equal(isIP(text) !== 0 && !text.includes('%'));
      }),
      times(20_000),
    );
  });
});

describe('a prefix', () => {
  it('is read, an address as one of all its bits, and one that is mapped into IPv6 as IPv4', () => {
    const forms: Readonly<Record<string, string>> = {
      '203.0.113.0/24': '203.0.113.0/24',
      '203.0.113.7': '203.0.113.7/32',
      '0.0.0.0/0': '0.0.0.0/0',
      '255.255.255.255/32': '255.255.255.255/32',
      '128.0.0.0/1': '128.0.0.0/1',
      '2001:db8::/32': '2001:db8::/32',
      '2001:DB8:0:0::': '2001:db8::/128',
      '::/0': '::/0',
      '8000::/1': '8000::/1',
      'ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127': 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127',
      '2001:db8:0:8000::/49': '2001:db8:0:8000::/49',
      '::ffff:203.0.113.0/120': '203.0.113.0/24',
      '::ffff:203.0.113.7': '203.0.113.7/32',
      '::ffff:0:0/96': '0.0.0.0/0',
      '::203.0.113.0/120': '::cb00:7100/120',
    };
    for (const [text, as] of Object.entries(forms)) expect(read(text), text).to.equal(as);
  });

  const refused: Readonly<Record<string, RegExp>> = {
    '': /^write one prefix, such as /,
    ' ': /^write one prefix/,
    '203.0.113.0 /24': /^there is a space in it; write one prefix/,
    '203.0.113.0/24 # office': /there is a space/,
    '203.0.113.0/24, 192.0.2.0/24': /there is a space/,
    '203.0.113.0/24,192.0.2.0/24': /the number after \/ is how many bits are fixed/,
    '203.0.113.7/24':
      /bits set beyond its first 24; write 203\.0\.113\.0\/24 for the network, or 203\.0\.113\.7 for the one/,
    '2001:db8::1/32': /beyond its first 32; write 2001:db8::\/32 for the network, or 2001:db8::1 for/,
    '1.0.0.0/0': /write 0\.0\.0\.0\/0 for the network/,
    '::1/127': /write ::\/127 for the network, or ::1 for/,
    '::ffff:203.0.113.7/120': /beyond its first 120; write 203\.0\.113\.0\/24 for the network, or 203\.0\.113\.7 for/,
    '::ffff:203.0.113.0/24': /first 96 bits of a mapped IPv4 address are fixed, too; write 203\.0\.113\.0\/24$/,
    '::ffff:0:0/95': /write the IPv4 prefix itself, such as .*, and 0\.0\.0\.0\/0 for all/,
    '::ffff:0:0/0': /write the IPv4 prefix itself/,
    '203.0.113.0/33': /from 0 to 32/,
    '203.0.113.0/': /from 0 to 32/,
    '203.0.113.0/024': /without leading zeros/,
    '203.0.113.0/-1': /from 0 to 32/,
    '203.0.113.0/2e1': /from 0 to 32/,
    '2001:db8::/129': /from 0 to 128/,
    '203.0.113.0/24/24': /from 0 to 32/,
    '203.0.113.0/255.255.255.0': /this is a netmask; write 203\.0\.113\.0\/24$/,
    '203.0.113.0/255.0.255.0': /how many bits are fixed/,
    '010.0.0.1': /leading zero as octal; write 10\.0\.0\.1$/,
    '10.00.0.0/8': /leading zero as octal; write 10\.0\.0\.0\/8$/,
    '10.0.0': /has four numbers; write 10\.0\.0\.0\/24$/,
    '10/8': /has four numbers; write 10\.0\.0\.0\/8$/,
    '10.1.*.*': /has four numbers; write 10\.1\.0\.0\/16$/,
    '10.0.0.1-10.0.0.9': /a range; write the prefixes that it is made of/,
    'fe80::1%eth0': /a zone names an interface of one machine; write the address without it$/,
    'fe80::%eth0/64': /a zone/,
    '256.0.0.0/8': /no IPv4 or IPv6 address; write one prefix/,
    '0x7f.0.0.1': /no IPv4 or IPv6 address/,
    'office.example.com': /no IPv4 or IPv6 address/,
    '[2001:db8::1]': /no IPv4 or IPv6 address/,
  };
  for (const [text, fault] of Object.entries(refused)) {
    it(`${JSON.stringify(text)} is refused, with what to write`, () => expect(read(text)).to.match(fault));
  }

  it('that is advised is one that is taken', () => {
    for (const text of Object.keys(refused)) {
      const [advised] = /(?<=; write )[0-9a-f.:]+(?:\/\d+)?(?=$| for)/.exec(read(text)) ?? [];
      if (advised) expect(parsePrefix(advised), text).not.to.have.property('fault');
    }
  });

  it(`of any text is read or refused, and never throws [seed ${SEED}]`, () => {
    const letters = fc.string({ unit: fc.constantFrom(...'0123.:fF%/ *-'.split('')), maxLength: 24 });
    fc.assert(
      fc.property(fc.oneof(letters, fc.string()), (text) => {
        expect(read(text)).to.be.a('string').and.not.equal('');
      }),
      times(20_000),
    );
  });
});
