/** The address that a client is counted by. */

import { expect } from 'chai';
import { loadConfig } from '../../src/config.ts';
import { Refusal } from '../../src/errors.ts';
import { addressOf, forwardedClient, isTrusted } from '../../src/http/address.ts';

const proxies = (text: string) => loadConfig({ TRUSTED_PROXIES: text }).TRUSTED_PROXIES;
const sent = (remoteAddress: string | undefined, forwarded?: string) => ({
  socket: { remoteAddress },
  headers: forwarded === undefined ? {} : { 'x-forwarded-for': forwarded },
});

describe('the address of a client', () => {
  it('is that of its connection, one for every way to write it', () => {
    const written: Record<string, string> = {
      '203.0.113.7': '203.0.113.7',
      '::ffff:203.0.113.7': '203.0.113.7',
      '::FFFF:cb00:7107': '203.0.113.7',
      '2001:db8::1': '2001:db8::/64',
      '2001:DB8:0:0:ffff::9': '2001:db8::/64',
      '2001:db8:0:7:1:2:3:4': '2001:db8:0:7::/64',
      '2001:db8:0:7::203.0.113.7': '2001:db8:0:7::/64',
      'fe80::1%eth0': 'fe80::/64',
      '::1': '::/64',
      '64:ff9b::203.0.113.7': '64:ff9b::/64',
      '1:2:3:4:5:6:7::': '1:2:3:4::/64',
      '::3:4:5:6:7:8': '0:0:3:4::/64',
    };
    for (const [text, address] of Object.entries(written)) {
      expect(addressOf(sent(text), undefined), text).to.equal(address);
    }
    expect(addressOf(sent(undefined), undefined)).to.equal('');
  });

  it('is itself what a trusted proxy wrote, or not known', () => {
    const trusted = proxies('10.0.0.0/8, 2001:db8:1::/48');
    const clients: readonly (readonly [peer: string, header: string | undefined, address: string | undefined])[] = [
      ['10.0.0.1', '198.51.100.1', '198.51.100.1'],
      ['10.0.0.1', '203.0.113.9, 198.51.100.1, 10.0.0.2', '198.51.100.1'],
      ['::ffff:10.0.0.1', '2001:db8::1', '2001:db8::1'],
      ['10.0.0.1', undefined, undefined],
      ['10.0.0.1', '', undefined],
      ['10.0.0.1', '10.0.0.2', undefined],
      ['10.0.0.1', '198.51.100.1, unknown', undefined],
      ['203.0.113.7', '198.51.100.1', undefined],
      ['203.0.113.7', undefined, undefined],
    ];
    for (const [peer, header, address] of clients) {
      expect(forwardedClient(sent(peer, header), trusted), `${peer} ${header}`).to.equal(address);
      expect(forwardedClient(sent(peer, header), undefined)).to.equal(undefined);
    }
    expect(forwardedClient(sent(undefined, '198.51.100.1'), trusted)).to.equal(undefined);
  });

  it('is what a trusted proxy wrote, and never what a client wrote', () => {
    const trusted = proxies('10.0.0.0/8, 2001:db8:1::/48,192.0.2.1');
    const forwarded: [peer: string, header: string | undefined, address: string][] = [
      ['203.0.113.7', '198.51.100.1', '203.0.113.7'],
      ['10.0.0.1', undefined, '10.0.0.1'],
      ['10.0.0.1', '', '10.0.0.1'],
      ['10.0.0.1', '198.51.100.1', '198.51.100.1'],
      ['::ffff:10.0.0.1', '1.1.1.1,198.51.100.1', '198.51.100.1'],
      ['10.0.0.1', '1.1.1.1, 198.51.100.1, 192.0.2.1 , 2001:db8:1:2::3', '198.51.100.1'],
      ['10.0.0.1', '10.0.0.3, 10.0.0.2', '10.0.0.3'],
      ['10.0.0.1', '1.1.1.1, ::ffff:198.51.100.1', '198.51.100.1'],
      ['2001:db8:1::5', '2001:db8:2:3::4', '2001:db8:2:3::/64'],
      ['10.0.0.1', '1.1.1.1, unknown', '10.0.0.1'],
      ['10.0.0.1', '1.1.1.1, unknown, 192.0.2.1', '192.0.2.1'],
      ['10.0.0.1', '1.1.1.1,', '10.0.0.1'],
    ];
    for (const [peer, header, address] of forwarded) {
      expect(addressOf(sent(peer, header), trusted), `${peer} ${header}`).to.equal(address);
    }
    const past = (hops: number) => addressOf(sent('10.0.0.1', `198.51.100.1${', 10.0.0.9'.repeat(hops)}`), trusted);
    expect([past(15), past(16), past(1500)]).to.deep.equal(['198.51.100.1', '10.0.0.9', '10.0.0.9']);
    expect(addressOf(sent('10.0.0.1', '198.51.100.1'), undefined), 'nobody is trusted').to.equal('10.0.0.1');
  });

  it('is trusted by TRUSTED_PROXIES alone, whose entries are addresses and networks', () => {
    const trusted = proxies('192.0.2.1,10.0.0.0/8,2001:db8::/32');
    const asked = ['192.0.2.1', '::ffff:10.9.9.9', '2001:db8:ffff::1', '192.0.2.2', '11.0.0.1', '2001:db9::1', ''];
    expect(asked.map((address) => isTrusted(address, trusted))).to.deep.equal([
      true,
      true,
      true,
      ...Array(4).fill(false),
    ]);
    expect(proxies('')).to.equal(undefined);
    expect(isTrusted('192.0.2.1', undefined)).to.equal(false);
    const bad = [
      'proxy',
      '10.0.0.0/33',
      '10.0.0.0/0',
      '10.0.0',
      '::/129',
      '10.0.0.1,',
      '10.0.0.1/',
      '::ffff:10.0.0.1',
      'fe80::1%eth0',
    ];
    for (const text of bad) expect(() => proxies(text), text).to.throw(Refusal, 'TRUSTED_PROXIES must be addresses');
  });
});
