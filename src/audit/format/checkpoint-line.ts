/**
 * A checkpoint, and the statement that a day was pruned: what is signed of each, and the line that it is in a file.
 * docs/audit.md describes all to the byte.
 */

import { hash } from 'node:crypto';
import { z } from 'zod';
import { field } from './record-hash.ts';

const uuid = z.string().regex(/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
const hash256 = z.string().regex(/^[0-9a-f]{64}$/);
const count = z.int().positive();

const headSchema = z.strictObject({
  boot: uuid,
  day: z.iso.date(),
  format: count.max(32_767),
  opening: hash256,
  records: count,
  hash: hash256,
});

/** The JSON of `checkpoints.heads`. */
export const headsSchema = z.array(headSchema);

const checkpointSchema = z.strictObject({
  type: z.literal('checkpoint'),
  number: count,
  at: z.iso.datetime({ precision: 3 }),
  writer: uuid,
  size: count,
  root: hash256,
  previous: hash256.nullable(),
  heads: headsSchema.min(1),
  publicKey: z.base64(),
  signature: z.base64(),
});

/**
 * `size` and `root` are of all heads that there are. `heads` are those that changed since the writer's last checkpoint; as
 * many as `size` are all of them, as in a writer's first. `previous` is the digest of the writer's last one, null at first.
 */
export type Checkpoint = z.output<typeof checkpointSchema>;

type Signed = Pick<Checkpoint, 'number' | 'at' | 'writer' | 'size' | 'root' | 'previous'>;

export const signedBytes = ({ number, at, writer, size, root, previous }: Signed): Buffer =>
  Buffer.from(
    `iqra-authz/checkpoint/1\n${[String(number), at, writer, String(size), root, previous].map(field).join('')}`,
    'latin1',
  );

/** What the writer's next checkpoint has as `previous`. */
export const checkpointDigest = (checkpoint: Signed): string => hash('sha256', signedBytes(checkpoint), 'hex');

/** Without the line's end. */
export const printLine = ({ number, at, writer, size, root, previous, heads, publicKey, signature }: Checkpoint) =>
  JSON.stringify({ type: 'checkpoint', number, at, writer, size, root, previous, heads, publicKey, signature });

const prunedSchema = z.strictObject({
  type: z.literal('pruned'),
  day: z.iso.date(),
  at: z.iso.datetime({ precision: 3 }),
  records: count,
  root: hash256,
  publicKey: z.base64(),
  signature: z.base64(),
});

/**
 * That the records of `day` were verified in full, down to heads with this `root`, and may be dropped. `root` is over the
 * heads of that day alone, `records` how many there were in them together.
 */
export type Pruned = z.output<typeof prunedSchema>;

export const prunedBytes = ({ day, at, records, root }: Pick<Pruned, 'day' | 'at' | 'records' | 'root'>): Buffer =>
  Buffer.from(`iqra-authz/pruned/1\n${[day, at, String(records), root].map(field).join('')}`, 'latin1');

/** Without the line's end. */
export const printPruned = ({ day, at, records, root, publicKey, signature }: Pruned): string =>
  JSON.stringify({ type: 'pruned', day, at, records, root, publicKey, signature });

const lineSchema = z.discriminatedUnion('type', [checkpointSchema, prunedSchema]);

/** `torn`: the start of a line that was never finished, as a crash or a full disk leaves it. */
export type Line = Checkpoint | Pruned | { readonly type: 'torn' } | { readonly type: 'unknown' };

export function parseLine(text: string): Line {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { type: 'torn' };
  }
  const parsed = lineSchema.safeParse(value);
  return parsed.success ? parsed.data : { type: 'unknown' };
}
