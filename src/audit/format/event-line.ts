/**
 * An event of administration as a line of a file outside the database: its columns and its hash, so that the file can be held against its
 * chain without the database. docs/restore.md describes it.
 */

import { z } from 'zod';
import { type EventRecord, eventHash } from './event-hash.ts';

const uuid = z.string().regex(/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
const instant = z.iso.datetime({ precision: 3 });

const lineSchema = z.strictObject({
  seq: z.int().positive(),
  id: uuid,
  at: instant,
  chained_at: instant,
  actor: z.string(),
  login: z.string(),
  action: z.string(),
  subject_kind: z.string(),
  subject_id: z.string(),
  // The text that PostgreSQL has of the jsonb value: what is hashed. A JSON value would not keep its digits and spaces.
  before: z.string().nullable(),
  after: z.string().nullable(),
  request_id: z.string().nullable(),
  hash: z.string().regex(/^[0-9a-f]{64}$/),
});

/** `hash` in lower-case hex. */
export type EventLine = EventRecord & { readonly hash: string };

/** Without the line's end. */
export const printEventLine = (event: EventLine): string => JSON.stringify(event);

/** Undefined: it is none. */
export function parseEventLine(text: string): EventLine | undefined {
  try {
    const parsed = lineSchema.safeParse(JSON.parse(text));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}

/** Whether the event stands in the chain behind one with the hash `previous` (hex). */
export const standsBehind = (previous: string, event: EventLine): boolean =>
  eventHash(Buffer.from(previous, 'hex'), event).toString('hex') === event.hash;

/** What the first event of all stands behind. */
export const BEFORE_FIRST = '0'.repeat(64);
