/** Schemas of the scalar values in requests, documents and settings, and `validate`, which turns zod's issues into ours. */

import { isIP } from 'node:net';
import { z } from 'zod';
import { holdsSecret } from '../mask.ts';
import { printPath, refused } from './json.ts';

/** An API key or caller token that was pasted into another field would be stored and logged in clear. */
export const NO_SECRET = 'looks like an API key or a caller token, which belongs nowhere but in its own field';
/** Of a question whose text would bring a part of its own credential into a log. */
export const OWN_SECRET = 'holds a part of the API key of this question, which belongs nowhere but in its own field';
const hasNoSecret = (text: string): boolean => !holdsSecret(text);

/**
 * An id: opaque, compared byte by byte; a whole number is taken as its decimal digits. `.` and `..` are none, because libraries
 * that read an address take them away: a client that meant /users/.. would ask for /.
 */
const ID = 'must be 1-64 of the characters A-Z a-z 0-9 . _ : - (not . or .. alone) or a whole number from 0 to 2^53-1';
export const idSchema = z
  .union(
    [
      z
        .string()
        .regex(/^(?!\.\.?$)[A-Za-z0-9._:-]{1,64}$/, ID)
        .refine(hasNoSecret, NO_SECRET),
      z.int(ID).nonnegative(ID),
    ],
    { error: ID },
  )
  .transform(String)
  .meta({ id: 'Id' });

export const actionSchema = z
  .string()
  .max(128, 'must have at most 128 characters')
  .regex(/^[a-z][a-z0-9_-]*(:[a-z][a-z0-9_-]*)+$/, 'must be lower-case words joined by colons, such as call:create')
  .refine(hasNoSecret, NO_SECRET)
  .meta({ id: 'Action' });

/**
 * Text shown to people: no control characters, line separators, bidirectional or invisible format characters (they could
 * spoof a terminal or a log). The zero-width joiner and non-joiner are allowed: Persian and emoji need them.
 */
const visibleText = (max: number) =>
  z
    .string()
    .min(1, `must have 1-${max} characters`)
    .max(max, `must have 1-${max} characters`)
    .regex(
      /^(?:[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]|[\u200c\u200d])*$/u,
      'must not have control, format or direction characters',
    )
    .regex(/\S/u, 'must have a visible character')
    // Not every tool that reads an OpenAPI document knows classes such as \p{Cf}.
    .meta({ allOf: undefined, pattern: '\\S', description: 'Without control, format and direction characters' })
    .refine(hasNoSecret, NO_SECRET);

export const nameSchema = visibleText(100);
export const reasonSchema = visibleText(300);
export const environmentSchema = z.string().regex(/^[a-z0-9-]{1,32}$/, 'must be 1-32 of the characters a-z 0-9 -');

export const rateLimitSchema = z
  .strictObject({
    requests: z
      .int()
      .min(1, 'must be 1 to 2^31-1')
      .max(2 ** 31 - 1, 'must be 1 to 2^31-1'),
    windowSeconds: z.int().min(1, 'must be 1 to 86400').max(86_400, 'must be 1 to 86400'),
  })
  .meta({ id: 'RateLimit' });

/** At most `requests` in each window of `windowSeconds`. */
export interface RateLimit extends Readonly<z.output<typeof rateLimitSchema>> {}

/** RFC 3339 with a zone, from 1970 to 9999; as ISO text in UTC. */
export const instantSchema = z.iso
  .datetime({ offset: true, error: 'must be an RFC 3339 time such as 2030-01-31T12:00:00Z' })
  .transform((text) => new Date(text).toISOString())
  .refine((text) => /^(?:19[7-9]|[2-9]\d\d)\d-/.test(text), 'must lie between 1970 and 9999');

/** As instantSchema, or a date alone, which is its first moment in UTC: of queries, where people write dates. */
export const momentSchema = z.union(
  [
    z.iso
      .date()
      .transform((date) => `${date}T00:00:00Z`)
      .pipe(instantSchema),
    instantSchema,
  ],
  { error: 'must be an RFC 3339 time such as 2030-01-31T12:00:00Z, or a date such as 2030-01-31' },
);

/** An IP address as it is logged: without a zone (`%eth0`), which names an interface of the caller's machine. */
const isAddress = (text: string): boolean => isIP(text) !== 0 && !text.includes('%');
export const ipSchema = z.string().refine(isAddress, 'must be an IPv4 or IPv6 address');

/** A text to search for. Searches of the log are logged themselves, so it must hold no secret. */
export const searchText = (max: number) =>
  z
    .string()
    .min(1, `must have 1-${max} characters`)
    .max(max, `must have 1-${max} characters`)
    .refine(hasNoSecret, NO_SECRET);

/** The parsed value. @throws Failure INVALID_REQUEST whose issues have paths, and quote no value */
export function validate<T extends z.ZodType>(schema: T, value: unknown): z.output<T> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issues = parsed.error.issues.flatMap((issue) =>
    issue.code === 'unrecognized_keys'
      ? issue.keys.map((key) => ({
          path: printPath([...issue.path, key]),
          message: 'nothing reads this field; remove it',
        }))
      : [{ path: printPath(issue.path), message: issue.message }],
  );
  throw refused(issues);
}
