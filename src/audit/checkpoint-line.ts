/** A checkpoint: what is signed of it, and the line that it is in a file. docs/audit.md describes both to the byte. */

import { hash } from 'node:crypto';
import { z } from 'zod';
import { field } from './chain.ts';

const uuid = z.string().regex(/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
const hash256 = z.string().regex(/^[0-9a-f]{64}$/);
const count = z.int().positive();

const headSchema = z.strictObject({
  boot: uuid,
  day: z.iso.date(),
  opening: hash256,
  records: count,
  hash: hash256,
});

/** As it stands in `checkpoints.heads`. */
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

/** `torn`: the start of a line that was never finished, as a crash or a full disk leaves it. */
export type Line = Checkpoint | { readonly type: 'torn' } | { readonly type: 'unknown' };

export function parseLine(text: string): Line {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { type: 'torn' };
  }
  const parsed = checkpointSchema.safeParse(value);
  return parsed.success ? parsed.data : { type: 'unknown' };
}
