/**
 * Finds API keys and caller tokens in texts that are stored, printed or logged, and masks them; and finds pieces of a
 * question's own credential in its other fields. Percent-encoded texts are read as well, up to three encodings deep.
 *
 * Nearly all texts have no run of 24 letters and digits, and are done with after a look at a few of their characters; a trace id
 * of 32 hex digits, after a few comparisons. The others take time linear in their length.
 */

import { crc32 } from 'node:zlib';
import { BASE62, CHECKSUM_LENGTH, PREFIX, RANDOM_LENGTH } from './token-form.ts';

/** Pieces of a secret that are shorter are no use: 12 characters of the 36 stay unknown. */
const PIECE = 24;
const BLOCK = PIECE / 2;
const SECRET_LENGTH = RANDOM_LENGTH + CHECKSUM_LENGTH;
const MAX_ENCODINGS = 3;

/**
 * `text` with `iqra_***` in place of each API key and caller token: the prefix and 24 or more letters and digits; and with `***`
 * in place of each 36 letters and digits that are one without its prefix, by their checksum.
 */
export function maskSecrets(text: string): string {
  if (!mayHoldSecret(text)) return text;
  let masked = '';
  let done = 0;
  for (const { from, to, mask } of secretsIn(text)) {
    // What overlaps the one before it is masked with it.
    if (from >= done) masked += text.slice(done, from) + mask;
    done = Math.max(done, to);
  }
  return masked + text.slice(done);
}

/** Whether `maskSecrets` would change the text: for texts that are refused instead, such as ids. */
export const holdsSecret = (text: string): boolean => secretAt(text) !== undefined;

/** Where the first of what `maskSecrets` would mask begins. */
export const secretAt = (text: string): number | undefined =>
  mayHoldSecret(text) ? secretsIn(text)[0]?.from : undefined;

/** Whether the text holds 24 or more consecutive letters and digits of the credential. */
export function holdsPieceOf(credential: string, text: string): boolean {
  if (!hasRun(text, PIECE) || !mayShare(credential, text)) return false;
  const pieces = new Set(piecesOf(text));
  for (const piece of piecesOf(credential)) if (pieces.has(piece)) return true;
  return false;
}

/** What every text that holds a secret has: a run of 36, or one of 24 behind a prefix; or escapes, which could be any of that. */
const mayHoldSecret = (text: string): boolean =>
  hasRun(text, PIECE) && (hasRun(text, SECRET_LENGTH) || text.includes(PREFIX.apiKey) || text.includes('%'));

/** A piece of 24 of the credential holds one of its blocks of 12 whole, wherever it begins. */
function mayShare(credential: string, text: string): boolean {
  if (text.includes('%') || credential.includes('%')) return true;
  for (let at = 0; at + BLOCK <= credential.length; at += BLOCK) {
    if (text.includes(credential.slice(at, at + BLOCK))) return true;
  }
  return false;
}

interface Secret {
  /** Offsets in the text as it was given. */
  readonly from: number;
  readonly to: number;
  readonly mask: string;
}

/** By where they begin. */
function secretsIn(text: string): readonly Secret[] {
  const found: Secret[] = [];
  for (const { text: read, offsets } of readings(text)) {
    const add = (from: number, to: number, mask: string): void =>
      void found.push({ from: offsets?.[from] ?? from, to: offsets?.[to] ?? to, mask });
    for (const [from, to] of runsIn(read)) {
      const prefix = PREFIXES.find((one) => read.endsWith(one, from));
      if (prefix !== undefined) add(from - prefix.length, to, `${PREFIX.apiKey}***`);
      else for (const at of checkedIn(read, from, to)) add(at, at + SECRET_LENGTH, '***');
    }
  }
  return found.sort((a, b) => a.from - b.from);
}

const PREFIXES = Object.values(PREFIX);

/** The value of each base62 digit by its character code; ESCAPE of the percent sign; NONE of all others. */
const NONE = 64;
const ESCAPE = 63;
const DIGITS = new Uint8Array(128).fill(NONE);
for (const [value, digit] of [...BASE62].entries()) DIGITS[digit.charCodeAt(0)] = value;
DIGITS['%'.charCodeAt(0)] = ESCAPE;

const digitAt = (text: string, at: number): number => DIGITS[text.charCodeAt(at)] ?? NONE;

/**
 * Whether so many letters, digits and percent signs stand in a row. Looks at the last character of where a run could be first, as
 * Boyer and Moore do: most words are far shorter than that.
 */
function hasRun(text: string, length: number): boolean {
  let from = 0;
  while (from + length <= text.length) {
    let at = from + length - 1;
    while (at >= from && digitAt(text, at) !== NONE) at -= 1;
    if (at < from) return true;
    from = at + 1;
  }
  return false;
}

/** Where 24 or more letters and digits stand in a row: [from, to). */
function* runsIn(text: string): Generator<readonly [from: number, to: number]> {
  let from = 0;
  for (let at = 0; at <= text.length; at += 1) {
    if (at < text.length && digitAt(text, at) < ESCAPE) continue;
    if (at - from >= PIECE) yield [from, at];
    from = at + 1;
  }
}

function* piecesOf(text: string): Generator<string> {
  for (const { text: read } of readings(text)) {
    for (const [from, to] of runsIn(read)) {
      for (let at = from; at + PIECE <= to; at += 1) yield read.slice(at, at + PIECE);
    }
  }
}

interface Reading {
  readonly text: string;
  /** Where each of its characters, and its end, stands in the text as it was given; undefined: at the same offset. */
  readonly offsets?: readonly number[];
}

/** The text as it is, and percent-decoded once, twice, three times, as long as that changes it. */
function* readings(text: string): Generator<Reading> {
  let reading: Reading = { text };
  yield reading;
  for (let depth = 0; depth < MAX_ENCODINGS; depth += 1) {
    if (!/%[2-7][0-9A-Fa-f]/.test(reading.text)) return;
    reading = decoded(reading);
    yield reading;
  }
}

/** Decodes what stands for a visible ASCII character. Other escapes stay, since no secret has what they stand for. */
function decoded({ text, offsets }: Reading): Reading {
  let plain = '';
  const places: number[] = [];
  for (let at = 0; at < text.length; ) {
    places.push(offsets?.[at] ?? at);
    const hex = text[at] === '%' ? /^[2-7][0-9A-Fa-f]/.exec(text.slice(at + 1, at + 3))?.[0] : undefined;
    plain += hex === undefined ? text[at] : String.fromCharCode(Number.parseInt(hex, 16));
    at += hex === undefined ? 1 : 3;
  }
  places.push(offsets?.[text.length] ?? text.length);
  return { text: plain, offsets: places };
}

/**
 * CRC-32 is affine, so that the checksums of all windows of a text can be had one from the other (a rolling hash): with
 * `crc(prefix + window) = BASES[prefix] ^ linear(window)`, a byte is added by STEP, and the first of 31 is taken away by AWAY.
 */
const linear = (bytes: Buffer): number => crc32(bytes) ^ crc32(Buffer.alloc(bytes.length));
const zeros = Buffer.alloc(RANDOM_LENGTH);
const STEP = Int32Array.from({ length: 256 }, (_, byte) => linear(Buffer.of(byte)));
const AWAY = Int32Array.from({ length: 128 }, (_, byte) => linear(Buffer.concat([Buffer.of(byte), zeros])));
const BASES = PREFIXES.map((prefix) => crc32(Buffer.concat([Buffer.from(prefix), zeros])));

/** Where in a run of letters and digits 36 of them begin whose last 6 are the checksum of the others behind one of the prefixes. */
function* checkedIn(text: string, from: number, to: number): Generator<number> {
  let crc = 0;
  for (let end = from; end + CHECKSUM_LENGTH <= to; end += 1) {
    const at = end - RANDOM_LENGTH;
    if (at >= from) {
      const wanted = numberAt(text, end);
      if (BASES.some((base) => (base ^ crc) >>> 0 === wanted)) yield at;
    }
    crc = (STEP[(crc ^ text.charCodeAt(end)) & 0xff] ?? 0) ^ (crc >>> 8);
    if (at >= from) crc ^= AWAY[text.charCodeAt(at)] ?? 0;
  }
}

/** The number that six digits at `at` are. */
function numberAt(text: string, at: number): number {
  let number = 0;
  for (let place = 0; place < CHECKSUM_LENGTH; place += 1) number = number * BASE62.length + digitAt(text, at + place);
  return number;
}
