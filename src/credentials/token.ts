/** API keys and caller tokens as secrets: how they are made and recognised, and the digests that they are stored and looked up by. */

import { createHmac, hash, hkdfSync, randomInt } from 'node:crypto';
import { BASE62, CHECKSUM_LENGTH, checksum, PREFIX, RANDOM_LENGTH, type TokenKind } from '../token-form.ts';

/** A secret HMAC key for digests, kept outside the database, so that a copy of the database alone cannot be searched for a key. */
export interface Pepper {
  readonly id: string;
  readonly secret: Buffer;
}

/** Moves a key from an older pepper to the current one: its stored digest, and the one to store instead. */
export interface Redigest {
  readonly from: Buffer;
  readonly to: Buffer;
  /** The id of the pepper that `to` is made under. */
  readonly pepperId: string;
}

/**
 * A new token, with about 178 random bits, to be shown once and stored as its digest only. `digit` draws from 0 to 61,
 * uniformly and unpredictably.
 */
export function createToken(kind: TokenKind, digit: () => number = () => randomInt(BASE62.length)): string {
  const random = Array.from({ length: RANDOM_LENGTH }, () => BASE62.charAt(digit())).join('');
  return PREFIX[kind] + random + checksum(PREFIX[kind] + random);
}

/** Whether a text has the form and the checksum of a token of that kind. */
export function isToken(kind: TokenKind, text: string): boolean {
  const prefix = PREFIX[kind];
  if (text.length !== prefix.length + RANDOM_LENGTH + CHECKSUM_LENGTH || !text.startsWith(prefix)) return false;
  return /^[0-9A-Za-z]+$/.test(text.slice(prefix.length)) && text.endsWith(checksum(text.slice(0, -CHECKSUM_LENGTH)));
}

/** 32 bytes: HMAC-SHA-256 of the token under the pepper. */
export const digestOf = (pepper: Pepper, token: string): Buffer => Buffer.from(digestTextOf(pepper, token), 'latin1');

const BLOCK_BYTES = 64;
const HASH_BYTES = 32;

/** The two blocks that HMAC begins with (RFC 2104), each with room behind it for what it is hashed with. */
interface Pads {
  readonly inner: Buffer;
  readonly outer: Buffer;
}

const padsBy = new WeakMap<Pepper, Pads>();

function padsOf(pepper: Pepper): Pads {
  const known = padsBy.get(pepper);
  if (known) return known;
  const { secret } = pepper;
  const key = secret.length > BLOCK_BYTES ? hash('sha256', secret, 'buffer') : secret;
  const padOf = (byte: number, room: number): Buffer => {
    const pad = Buffer.alloc(BLOCK_BYTES + room, byte);
    for (const [at, each] of key.entries()) pad[at] = each ^ byte;
    return pad;
  };
  const pads = { inner: padOf(0x36, BLOCK_BYTES), outer: padOf(0x5c, HASH_BYTES) };
  padsBy.set(pepper, pads);
  return pads;
}

/**
 * As `digestOf`, one character a byte. Two hashes in one go each, which take a third of the time of node:crypto's HMAC object: so little
 * that no map from tokens to digests is kept, and no secret outlives its request.
 */
export function digestTextOf(pepper: Pepper, token: string): string {
  if (token.length > BLOCK_BYTES || !/^[!-~]*$/.test(token))
    return createHmac('sha256', pepper.secret).update(token).digest('binary');
  const { inner, outer } = padsOf(pepper);
  const end = BLOCK_BYTES + inner.write(token, BLOCK_BYTES, 'latin1');
  outer.write(hash('sha256', inner.subarray(0, end), 'binary'), BLOCK_BYTES, 'latin1');
  // Nor does it outlive it here.
  inner.fill(0, BLOCK_BYTES, end);
  return hash('sha256', outer, 'binary');
}

/** The part of an API key that may be shown for ever: enough to tell keys apart; more than 128 random bits stay secret. */
export const hintOf = (token: string): string => `${token.slice(0, PREFIX.apiKey.length + 4)}...${token.slice(-4)}`;

/**
 * Fingerprints unknown credentials for the log: 16 hex digits of an HMAC, equal for equal credentials under one pepper, and
 * not reversible without it. The HMAC key is derived from the pepper (HKDF), so that a fingerprint reveals nothing of digests.
 */
export function fingerprinter({ secret }: Pepper): (credential: string) => string {
  const key = Buffer.from(hkdfSync('sha256', secret, '', 'fingerprint', 32));
  return (credential) => createHmac('sha256', key).update(credential).digest('hex').slice(0, 16);
}
