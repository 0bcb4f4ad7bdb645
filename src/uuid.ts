/**
 * Ids of decisions and requests: UUIDs of version 7, each greater than the one before. The library's ask the kernel for random bytes
 * every time, which was a fifteenth of all that an answer costs; here they are fetched for hundreds of ids at once.
 */

import { randomFillSync } from 'node:crypto';

const RANDOM = 6;
const COUNTER = 4;
const pool = Buffer.alloc((RANDOM + COUNTER) * 400);
let used = pool.length;

/** The place of `bytes` fresh random bytes in the pool. */
function fresh(bytes: number): number {
  if (used + bytes > pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  used += bytes;
  return used - bytes;
}

let last = 0;
let time = '';
/** 26 bits that count within a millisecond, from a random start in the lower half. */
let counter = 0;
const COUNTED = 2 ** 26;
/** Milliseconds: adjusting clocks slew less, and correcting them steps more. */
const CORRECTED_MS = 5000;

/**
 * A new id. Its first 48 bits are the time in milliseconds, or the last id's where the clock has gone back a little since. A clock
 * that goes back far was wrong before: to stay with it would give the records of hours one wrong time.
 * INVARIANT: until then the ids of one process are in the order in which they were made, as text and as bytes (RFC 9562, 6.2).
 */
export function uuidv7(now = Date.now()): string {
  counter += 1;
  const corrected = last - now > CORRECTED_MS;
  if (now > last || corrected || counter >= COUNTED) {
    last = corrected ? now : Math.max(now, last + 1);
    const digits = last.toString(16).padStart(12, '0');
    time = `${digits.slice(0, 8)}-${digits.slice(8)}`;
    counter = pool.readUInt32BE(fresh(COUNTER)) % (COUNTED / 2);
  }
  const high = (0x7000 | (counter >> 14)).toString(16);
  const low = (0x8000 | (counter & 0x3fff)).toString(16);
  const at = fresh(RANDOM);
  return `${time}-${high}-${low}-${pool.toString('hex', at, at + RANDOM)}`;
}
