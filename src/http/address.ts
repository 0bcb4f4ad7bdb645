/**
 * The address that a client is counted by: that of its connection, or, behind a trusted proxy, the one that the proxy wrote.
 * Everything that is limited by address asks here, so that all limits mean the same client.
 */

import type { IncomingHttpHeaders } from 'node:http';
import { type BlockList, isIP, isIPv6, SocketAddress } from 'node:net';

/** Most proxies that are read past. Nobody has so many; a header of thousands would cost 10 ms. */
const MOST_HOPS = 16;

/** The part of a request that its address is read from. */
interface Sent {
  readonly socket: { readonly remoteAddress?: string | undefined };
  readonly headers: IncomingHttpHeaders;
}

/**
 * The client's address: IPv4 as such, also where it came mapped into IPv6; of IPv6 the network of 64 bits, such as
 * `2001:db8:0:7::/64`, because that is what one client is given. A connection from an address of `trusted` (TRUSTED_PROXIES) counts
 * as what X-Forwarded-For says: read from the right, the first address that is not trusted itself. Where an entry is no address,
 * its proxy is meant: what stands left of it could be anybody's. So it is behind `MOST_HOPS` of them. An empty string: the
 * connection is gone.
 */
export function addressOf(sent: Sent, trusted: BlockList | undefined): string {
  const nearest = nearestOf(sent, trusted);
  return isIPv6(nearest) ? network(nearest) : nearest;
}

/**
 * The address itself of the client that trusted proxies name; undefined where the connection is not one of theirs, or they name none: its
 * address says where the proxy is, and nothing about the client.
 */
export function forwardedClient(sent: Sent, trusted: BlockList | undefined): string | undefined {
  if (!isTrusted(sent.socket.remoteAddress ?? '', trusted)) return undefined;
  const nearest = nearestOf(sent, trusted);
  return isTrusted(nearest, trusted) ? undefined : nearest;
}

function nearestOf({ socket, headers }: Sent, trusted: BlockList | undefined): string {
  let nearest = plain(socket.remoteAddress ?? '');
  if (trusted) {
    // Node joins repeats of this header by a comma, in their order.
    let rest = String(headers['x-forwarded-for'] ?? '');
    for (let hops = 0; hops < MOST_HOPS && rest !== '' && isTrusted(nearest, trusted); hops += 1) {
      const comma = rest.lastIndexOf(',');
      const entry = plain(rest.slice(comma + 1).trim());
      if (isIP(entry) === 0) break;
      nearest = entry;
      rest = rest.slice(0, Math.max(comma, 0));
    }
  }
  return nearest;
}

/** Whether an address, as a socket or X-Forwarded-For has it, is one of `trusted`. */
export function isTrusted(address: string, trusted: BlockList | undefined): boolean {
  if (!trusted) return false;
  const text = plain(address);
  return isIP(text) !== 0 && trusted.check(text, isIPv6(text) ? 'ipv6' : 'ipv4');
}

/** Without the zone of a link-local address, and IPv4 where it is mapped into IPv6. */
function plain(text: string): string {
  const [address = ''] = text.split('%', 1);
  if (!isIPv6(address)) return address;
  const written = new SocketAddress({ address, family: 'ipv6' }).address;
  return written.startsWith('::ffff:') && written.includes('.') ? written.slice('::ffff:'.length) : written;
}

/** The first 64 bits of an IPv6 address, written like an address. */
function network(address: string): string {
  const [left = '', right] = address.split('::');
  const groupsOf = (text = ''): string[] => (text === '' ? [] : text.split(':'));
  const [before, after] = [groupsOf(left), groupsOf(right)];
  // An IPv4 address at the end stands for two groups; none of them is among the first four.
  const behind = after.length + (address.includes('.') ? 1 : 0);
  const gap = right === undefined ? 0 : 8 - before.length - behind;
  const groups = [...before, ...Array<string>(gap).fill('0'), ...after].slice(0, 4);
  return `${new SocketAddress({ address: `${groups.join(':')}::`, family: 'ipv6' }).address}/64`;
}
