/** Reads one address, and one prefix of addresses: strictly, so that nobody can mean another network than is read. */

import { isIP } from 'node:net';
import { Address4, Address6 } from 'ip-address';

/** An address as numbers of 32 bits, the highest first: one for IPv4, four for IPv6. */
export type Address = readonly number[];

export interface Prefix {
  /** Its first address. */
  readonly first: Address;
  /** How many bits of it are fixed. */
  readonly length: number;
}

export const BITS = 32;

/**
 * The numbers of an address; undefined where it is none, or has a zone. One of IPv4 that is mapped into IPv6 (`::ffff:192.0.2.1`)
 * is that of IPv4.
 *
 * INVARIANT: `isIP` looks first. It takes what POSIX does (inet_pton): four decimal numbers without leading zeros, no octal or
 * hexadecimal ones, so that there are no two opinions on which address a text is.
 */
export function parseAddress(text: string): Address | undefined {
  const version = isIP(text);
  if (version === 4) return [wordOf(new Address4(text).parsedAddress, 0, 4, 10)];
  if (version !== 6 || text.includes('%')) return undefined;
  const parts = new Address6(text).parsedAddress;
  const words = [wordOf(parts, 0, 2, 16), wordOf(parts, 2, 2, 16), wordOf(parts, 4, 2, 16), wordOf(parts, 6, 2, 16)];
  return isMapped(words) ? words.slice(3) : words;
}

/** The number that so many parts make together. Not by shifts: those give negative numbers. */
function wordOf(parts: readonly string[], from: number, count: number, radix: 10 | 16): number {
  let word = 0;
  for (let at = from; at < from + count; at += 1) {
    word = word * (radix === 10 ? 256 : 65_536) + Number.parseInt(parts[at] as string, radix);
  }
  return word;
}

/** The last word but one of `::ffff:0:0/96`, in which the addresses of IPv4 are mapped. */
const MAPPED = 0xffff;
const MAPPED_LENGTH = 96;
const isMapped = ([a, b, c]: Address): boolean => a === 0 && b === 0 && c === MAPPED;

/**
 * One prefix: `203.0.113.0/24`, `2001:db8::/32`, or an address, which is a prefix of all its bits. In place of one: what is wrong
 * with the text, and what to write.
 */
export function parsePrefix(text: string): Prefix | { readonly fault: string } {
  const slash = text.indexOf('/');
  const address = slash === -1 ? text : text.slice(0, slash);
  const first = parseAddress(address);
  if (!first) return { fault: addressFault(text) };
  const mapped = first.length === 1 && address.includes(':');
  const most = address.includes(':') ? 4 * BITS : BITS;
  const given = slash === -1 ? most : lengthOf(text.slice(slash + 1), most);
  if (given === undefined) return { fault: lengthFault(text, address, most) };
  const length = mapped ? given - MAPPED_LENGTH : given;
  if (length < 0) return { fault: mappedFault(first, given) };
  const network = first.map((word, at) => fixed(word, length - at * BITS));
  if (network.every((word, at) => word === first[at])) return { first, length };
  return {
    fault: `${text} has bits set beyond its first ${given}; write ${printed(network)}/${length} for the network, or ${printed(first)} for the one address`,
  };
}

/** A length of 0 to `most` bits, without leading zeros. */
function lengthOf(text: string, most: number): number | undefined {
  if (!/^(?:0|[1-9]\d{0,2})$/.test(text)) return undefined;
  const length = Number(text);
  return length <= most ? length : undefined;
}

/** A word with all but its first `bits` bits 0. */
const fixed = (word: number, bits: number): number => {
  const free = 2 ** (BITS - Math.min(Math.max(bits, 0), BITS));
  return word - (word % free);
};

/** The last address of a prefix. */
export const lastOf = ({ first, length }: Prefix): Address =>
  first.map((word, at) => word + 2 ** (BITS - Math.min(Math.max(length - at * BITS, 0), BITS)) - 1);

/** As people write it: RFC 5952 of IPv6. */
export function printed(address: Address): string {
  if (address.length === 1) return octets(address[0] ?? 0).join('.');
  const groups = address.flatMap((word) => [Math.floor(word / 2 ** 16), word % 2 ** 16]);
  return new Address6(groups.map((group) => group.toString(16)).join(':')).correctForm();
}

const octets = (word: number): number[] => [24, 16, 8, 0].map((shift) => Math.floor(word / 2 ** shift) % 256);

const FORM = 'write one prefix, such as 203.0.113.0/24 or 2001:db8::/32, or one address';

const SPACE = `there is a space in it; ${FORM}`;

function addressFault(text: string): string {
  if (text.trim() === '') return FORM;
  if (/\s/.test(text)) return SPACE;
  if (text.includes('%')) return 'a zone names an interface of one machine; write the address without it';
  const plain = text.replace(/(^|\.)0+(?=\d)/g, '$1');
  if (plain !== text && parseAddress(plain.split('/')[0] ?? ''))
    return `some programs read a number with a leading zero as octal; write ${plain}`;
  if (/^[0-9a-f.:]+-[0-9a-f.:]+$/i.test(text)) return `this is a range; write the prefixes that it is made of`;
  const short = /^(\d{1,3}(?:\.\d{1,3}){0,2})(?:\.\*)*(\/\d+)?$/.exec(text);
  if (short) {
    const parts = (short[1] ?? '').split('.');
    const whole = [...parts, '0', '0', '0'].slice(0, 4).join('.');
    if (parseAddress(whole))
      return `an IPv4 address has four numbers; write ${whole}${short[2] ?? `/${parts.length * 8}`}`;
  }
  return `this is no IPv4 or IPv6 address; ${FORM}`;
}

function lengthFault(text: string, address: string, most: number): string {
  if (/\s/.test(text)) return SPACE;
  const mask = parseAddress(text.slice(address.length + 1));
  const bits =
    mask?.length === 1
      ? Array.from({ length: 33 }, (_, n) => n).find((n) => fixed(2 ** 32 - 1, n) === mask[0])
      : undefined;
  if (most === BITS && bits !== undefined) return `this is a netmask; write ${address}/${bits}`;
  return `the number after / is how many bits are fixed, from 0 to ${most} without leading zeros`;
}

const mappedFault = (first: Address, given: number): string =>
  given <= BITS && printed(first) !== '0.0.0.0' && fixed(first[0] ?? 0, given) === first[0]
    ? `in IPv6 the first 96 bits of a mapped IPv4 address are fixed, too; write ${printed(first)}/${given}`
    : 'in IPv6 the first 96 bits of a mapped IPv4 address are fixed, too; write the IPv4 prefix itself, such as 203.0.113.0/24, and 0.0.0.0/0 for all';
