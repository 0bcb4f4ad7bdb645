/**
 * The form of API keys and caller tokens: `<prefix><30 base62><6 base62 of the CRC-32 of what precedes>`. The checksum rejects
 * typos and junk without a database read; it authenticates nothing.
 */

import { crc32 } from 'node:zlib';

export const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
export const RANDOM_LENGTH = 30;
export const CHECKSUM_LENGTH = 6;

export type TokenKind = 'apiKey' | 'caller';

export const PREFIX: Record<TokenKind, string> = { apiKey: 'iqra_', caller: 'iqra_svc_' };

/** The last characters of a token that begins with `text`, its prefix and random part. */
export function checksum(text: string): string {
  let rest = crc32(text);
  let digits = '';
  for (let place = 0; place < CHECKSUM_LENGTH; place += 1) {
    digits = BASE62.charAt(rest % BASE62.length) + digits;
    rest = Math.floor(rest / BASE62.length);
  }
  return digits;
}

/**
 * The API key in a client's Authorization header: the scheme `Token`, in any case, one space, the key, nothing more.
 * Undefined for any other header.
 */
export const keyOfHeader = (header: string): string | undefined => /^token ([^\s]+)$/i.exec(header)?.[1];
