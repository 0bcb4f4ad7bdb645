/** Bytes that are written one value after the other. */

export interface Bytes {
  /** Grows; `at` is where the next value goes. */
  buffer: Buffer;
  at: number;
}

export const newBytes = (size: number): Bytes => ({ buffer: Buffer.allocUnsafe(size), at: 0 });

export const written = ({ buffer, at }: Bytes): Buffer => buffer.subarray(0, at);

/** INVARIANT: to be called before the `put`s below, which do not look: a text that finds no room is cut off without a word. */
export function reserve(bytes: Bytes, more: number): void {
  const { buffer, at } = bytes;
  if (at + more <= buffer.length) return;
  bytes.buffer = Buffer.allocUnsafe(Math.max(buffer.length * 2, at + more));
  buffer.copy(bytes.buffer, 0, 0, at);
}

export function putInt16(bytes: Bytes, value: number): void {
  bytes.at = bytes.buffer.writeInt16BE(value, bytes.at);
}

export function putInt32(bytes: Bytes, value: number): void {
  bytes.at = bytes.buffer.writeInt32BE(value, bytes.at);
}

export function putBytes(bytes: Bytes, value: Uint8Array): void {
  bytes.buffer.set(value, bytes.at);
  bytes.at += value.length;
}

/** A text whose characters are the bytes. */
export function putLatin1(bytes: Bytes, text: string): void {
  bytes.at += bytes.buffer.write(text, bytes.at, 'latin1');
}

/** @throws RangeError: the text is not the hexadecimal digits of so many bytes */
export function putHex(bytes: Bytes, hex: string, length: number): void {
  if (bytes.buffer.write(hex, bytes.at, 'hex') !== length)
    throw new RangeError(`not ${length} bytes in hexadecimal digits`);
  bytes.at += length;
}
