/** Bytes of fields, written one after the other: short ones by a loop, which is faster than a call out of JavaScript. */

/** Copies `from` up to `end` to `at`. @returns where they end */
export function putBytes(to: Buffer, at: number, bytes: Buffer, from: number, end: number): number {
  if (end - from > LONG) return at + bytes.copy(to, at, from, end);
  let next = at;
  for (let index = from; index < end; index += 1) to[next++] = bytes[index] as number;
  return next;
}

const LONG = 64;

/** 4 bytes. */
export function putLength(to: Buffer, at: number, length: number): number {
  to[at] = length >>> 24;
  to[at + 1] = length >>> 16;
  to[at + 2] = length >>> 8;
  to[at + 3] = length;
  return at + 4;
}

/** A field of ASCII. */
export function putAscii(to: Buffer, at: number, ascii: string): number {
  let next = putLength(to, at, ascii.length);
  for (let index = 0; index < ascii.length; index += 1) to[next++] = ascii.charCodeAt(index);
  return next;
}

const DIGITS = Buffer.from('0123456789abcdef');

/** The bytes from `from` to `end` as hex. */
export function putHex(to: Buffer, at: number, bytes: Buffer, from: number, end: number): number {
  let next = at;
  for (let index = from; index < end; index += 1) {
    const byte = bytes[index] as number;
    to[next++] = DIGITS[byte >>> 4] as number;
    to[next++] = DIGITS[byte & 15] as number;
  }
  return next;
}

const DASH = 0x2d;

/** A field of the UUID whose 16 bytes begin at `from`. */
export function putUuid(to: Buffer, at: number, bytes: Buffer, from: number): number {
  let next = putLength(to, at, 36);
  let since = from;
  for (const count of UUID_PARTS) {
    if (since > from) to[next++] = DASH;
    next = putHex(to, next, bytes, since, since + count);
    since += count;
  }
  return next;
}

const UUID_PARTS = [4, 2, 2, 2, 6] as const;

/** `width` decimal digits. */
export function putDigits(to: Buffer, at: number, value: number, width: number): void {
  let rest = value;
  for (let index = at + width - 1; index >= at; index -= 1) {
    const tens = Math.floor(rest / 10);
    to[index] = 0x30 + rest - tens * 10;
    rest = tens;
  }
}

/** A JSON string of UTF-8, as RFC 8785 has it. Room is needed for six times its length. */
export function putJson(to: Buffer, at: number, bytes: Buffer, from: number, end: number): number {
  let next = at;
  to[next++] = QUOTE;
  for (let index = from; index < end; index += 1) {
    const byte = bytes[index] as number;
    if (byte < 0x20 || byte === QUOTE || byte === BACKSLASH)
      return at + to.write(JSON.stringify(bytes.toString('utf8', from, end)), at);
    to[next++] = byte;
  }
  to[next++] = QUOTE;
  return next;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
