/** A second implementation of addresses and prefixes, for comparison: as big numbers, by way of the parser of URLs. */

/** How many words an address has (an IPv4 address that is mapped into IPv6 counts as IPv4), and its number. */
export function bigOf(text: string): readonly [words: number, value: bigint] {
  const fold = (parts: readonly string[], bits: bigint, radix: string): bigint =>
    parts.reduce((sum, part) => (sum << bits) | BigInt(radix + part), 0n);
  if (!text.includes(':')) return [1, fold(text.split('.'), 8n, '')];
  const [left = '', right] = new URL(`http://[${text}]`).hostname.slice(1, -1).split('::');
  const groups = (part = ''): string[] => part.split(':').filter((group) => group !== '');
  const [before, after] = [groups(left), groups(right)];
  const value = fold([...before, ...Array<string>(8 - before.length - after.length).fill('0'), ...after], 16n, '0x');
  return value >> 32n === 0xffffn ? [1, value & 0xffff_ffffn] : [4, value];
}

/** Whether an address lies in any of the prefixes, one after the other. */
export const liesIn = (ip: string, prefixes: readonly string[]): boolean =>
  prefixes.some((prefix) => {
    const [address = '', given] = prefix.split('/');
    const [words, first] = bigOf(address);
    const [sameWords, value] = bigOf(ip);
    const bits = 32 * words;
    // Behind a mapped address stands the length of the IPv6 prefix.
    const length = given === undefined ? bits : Number(given) - (words === 1 && address.includes(':') ? 96 : 0);
    const free = BigInt(bits - length);
    return words === sameWords && value >> free === first >> free;
  });

/** An address of so many words by its number. */
export const textOf = (words: number, value: bigint): string =>
  words === 1
    ? [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 255n).join('.')
    : Array.from({ length: 8 }, (_, group) => ((value >> BigInt(112 - 16 * group)) & 0xffffn).toString(16)).join(':');

/** The same IPv4 address, mapped into IPv6. */
export const mapped = (ip: string): string => `::ffff:${ip}`;
