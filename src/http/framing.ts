/**
 * What a request must have right before anything else of it is read. A proxy in front may read a repeated header, or a length that
 * is told twice, another way than Node does; such a request is refused, not interpreted.
 */

import type { IncomingMessage } from 'node:http';

/**
 * The header fields of requests that hold one value (RFC 9110; Origin: RFC 6454), of which Node takes the first or the last of
 * several, or joins them into what nobody sent. Fields that are lists, such as Accept, If-Match and X-Forwarded-For, may repeat.
 */
const SINGLE = [
  'Authorization',
  'Content-Length',
  'Content-Location',
  'Content-Range',
  'Content-Type',
  'Date',
  'From',
  'Host',
  'If-Modified-Since',
  'If-Range',
  'If-Unmodified-Since',
  'Iqra-Subject-Authorization',
  'Max-Forwards',
  'Origin',
  'Proxy-Authorization',
  'Range',
  'Referer',
  'User-Agent',
];
const BY_LOWER_CASE: ReadonlyMap<string, string> = new Map(SINGLE.map((name) => [name.toLowerCase(), name]));

/** A name, an IPv4 address or a bracketed IPv6 address, with or without a port; or nothing (RFC 9112, 3.2). */
const HOST = /^(?:[\w.~%-]*|\[[\da-f:.%]+\])(?::\d{0,5})?$/i;

/** What to change, for whoever sent it; undefined: the framing has no fault. */
export function faultOfFraming(request: IncomingMessage): string | undefined {
  const fault = faultOfMessage(request);
  if (fault !== undefined) return fault;
  const repeated = repeatedHeader(request);
  return repeated && `send one ${repeated} header`;
}

/** As `faultOfFraming`, of what the sender of the message itself has made: repeated headers can be those of its own client. */
export function faultOfMessage({ headers, httpVersion }: IncomingMessage): string | undefined {
  if (httpVersion !== '1.1' && httpVersion !== '1.0') return 'send it as HTTP/1.1';
  const { host, 'transfer-encoding': coding } = headers;
  if (host === undefined ? httpVersion === '1.1' : !HOST.test(host))
    return 'send one Host header, a name or an address';
  // RFC 9112, 6.1: HTTP/1.0 has no codings, so that a length is told twice. Of the others we read none but chunks.
  if (coding !== undefined && (httpVersion === '1.0' || coding.toLowerCase() !== 'chunked')) {
    return 'send the body with its Content-Length, or as chunks and nothing else';
  }
  return undefined;
}

/** The first header field of one value that is there more than once. */
export function repeatedHeader({ headers, rawHeaders }: IncomingMessage): string | undefined {
  // Usually no header repeats, and this is all that it costs.
  let names = 0;
  for (const _ in headers) names += 1;
  return 2 * names === rawHeaders.length ? undefined : repeatedIn(rawHeaders);
}

function repeatedIn(rawHeaders: readonly string[]): string | undefined {
  const seen = new Set<string>();
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = BY_LOWER_CASE.get(rawHeaders[at]?.toLowerCase() ?? '');
    if (name === undefined) continue;
    if (seen.has(name)) return name;
    seen.add(name);
  }
  return undefined;
}
