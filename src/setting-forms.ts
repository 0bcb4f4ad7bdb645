/** What the values of settings look like, where a schema alone does not say it. */

import { BlockList, isIP } from 'node:net';
import path from 'node:path';
import { z } from 'zod';
import type { Pepper } from './credentials/token.ts';
import { rateLimitSchema } from './input/scalars.ts';

const MIN_PEPPER_BYTES = 32;

export const integer = (min: number, max: number) =>
  z
    .string()
    .regex(/^\d{1,10}$/, `must be a whole number from ${min} to ${max}`)
    .transform(Number)
    .refine((value) => value >= min && value <= max, `must be a whole number from ${min} to ${max}`);

/** What an operator may be named by. */
export const OPERATOR = /^[\p{L}\p{N}\p{P}\p{S}](?:[\p{L}\p{N}\p{P}\p{S} ]{0,98}[\p{L}\p{N}\p{P}\p{S}])?$/u;

export const folder = z.string().transform((name) => path.resolve(name));

/**
 * Whether a user and password of a URL hold nothing that would end them, or be decoded to something else: what follows the first
 * such character would be taken for the host, and shown as that. An @ in a path or query is encoded, too.
 */
function isEncoded(text: string): boolean {
  try {
    decodeURIComponent(text);
  } catch {
    return false;
  }
  return /^\w+:\/\/(?:[^@/?#\s]*@)?[^@#\s]*$/.test(text);
}
const ENCODE =
  'holds a character that must be percent-encoded: in user and password all but letters, digits and -._~ ' +
  '(@ is %40, # is %23, / is %2F, ? is %3F, % is %25, a space is %20)';

export const databaseUrl = z
  .string()
  .refine(isEncoded, { message: ENCODE, abort: true })
  .refine((text) => {
    const url = URL.canParse(text) ? new URL(text) : undefined;
    return url?.protocol === 'postgres:' || url?.protocol === 'postgresql:';
  }, 'must be postgres://user:password@host:port/database');

export const redisUrl = z.string().refine((text) => {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  // ioredis reads a URL's query as options, which would override ours.
  return (url?.protocol === 'redis:' || url?.protocol === 'rediss:') && url.hostname !== '' && url.search === '';
}, 'must be redis://user:password@host:port/number, or rediss:// for TLS, without a query');

export const webhookUrl = z
  .string()
  .refine((text) => {
    const url = URL.canParse(text) ? new URL(text) : undefined;
    const loopback = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(url?.hostname ?? '');
    return (url?.protocol === 'https:' || (url?.protocol === 'http:' && loopback)) && url.username === '';
  }, 'must be https://host/path, or http:// on this machine, without a user')
  .transform((text) => new URL(text));

const WEBHOOK_SECRET_FORM =
  'must be whsec_ and base64 of 24 to 64 bytes (echo "whsec_$(openssl rand -base64 32)"); or two, the new one and the old one, with a comma between';

export function parseWebhookSecrets(text: string, context: z.RefinementCtx): readonly Buffer[] {
  const secrets = text.split(',').map((entry) => {
    const [, base64 = ''] = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(entry.trim()) ?? [];
    return Buffer.from(base64, 'base64');
  });
  if (secrets.length <= 2 && secrets.every(({ length }) => length >= 24 && length <= 64)) return secrets;
  context.addIssue({ code: 'custom', message: WEBHOOK_SECRET_FORM });
  return z.NEVER;
}

const RATE_LIMIT_FORM = 'must be requests/seconds such as 600/60: 1 to 2^31-1 requests in 1 to 86400 seconds';
export const rateLimit = z
  .string()
  .regex(/^\d{1,10}\/\d{1,5}$/, RATE_LIMIT_FORM)
  .transform((text) => ({ requests: Number(text.split('/')[0]), windowSeconds: Number(text.split('/')[1]) }))
  .refine((limit) => rateLimitSchema.safeParse(limit).success, RATE_LIMIT_FORM);

const PROXIES_FORM = 'must be addresses or networks such as 192.0.2.1,10.0.0.0/8,2001:db8::/32, none of them everybody';

export function parseProxies(text: string, context: z.RefinementCtx): BlockList {
  const list = new BlockList();
  for (const entry of text.split(',')) {
    const [, address = '', bits] = /^([0-9a-f.:]+)(?:\/([1-9]\d{0,2}))?$/i.exec(entry.trim()) ?? [];
    const version = isIP(address);
    const most = version === 4 ? 32 : 128;
    // An address that is mapped into IPv6 counts as the IPv4 one (http/address.ts), and so would never match.
    if (version === 0 || Number(bits ?? most) > most || /^::ffff:/i.test(address)) {
      context.addIssue({ code: 'custom', message: PROXIES_FORM });
      return z.NEVER;
    }
    list.addSubnet(address, Number(bits ?? most), version === 4 ? 'ipv4' : 'ipv6');
  }
  return list;
}

export const LIFETIME = /^([1-9]\d{0,4})([dhms])$/;
export const LIFETIME_FORM = 'must be a whole number of days, hours, minutes or seconds, such as 90d, 12h, 30m or 45s';
const UNIT_MS: Readonly<Record<string, number>> = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1000 };
export const lifetimeMs = (text: string): number => {
  const [, count, unit = ''] = LIFETIME.exec(text) ?? [];
  return Number(count) * (UNIT_MS[unit] ?? Number.NaN);
};

/** A URL that reads the same whoever parses it. The path becomes that of a route, whose router gives other signs a meaning of its own. */
export const isBaseUrl = (text: string): boolean => {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  return (
    url?.protocol === 'https:' &&
    url.username === '' &&
    /^[\w.~%/-]*$/.test(url.pathname) &&
    `${url.origin}${url.pathname.replace(/\/$/, '')}` === text
  );
};

export const rateLimitOrNone = z.string().transform((text, context) => {
  if (text === 'none') return 'none' as const;
  const { data } = rateLimit.safeParse(text);
  if (data) return data;
  context.addIssue({ code: 'custom', message: `${RATE_LIMIT_FORM}, or none` });
  return z.NEVER;
});

/** Parses `id:base64,id:base64`; the first is the current one, for new digests. */
export function parsePeppers(text: string, context: z.RefinementCtx): readonly [Pepper, ...Pepper[]] {
  const peppers = text.split(',').map((entry) => {
    const [, id, base64] = /^([A-Za-z0-9_-]{1,32}):([A-Za-z0-9+/]+={0,2})$/.exec(entry.trim()) ?? [];
    return { id: id ?? '', secret: Buffer.from(base64 ?? '', 'base64') };
  });
  const [first, ...rest] = peppers;
  const sound = peppers.every((pepper) => pepper.id !== '' && pepper.secret.length >= MIN_PEPPER_BYTES);
  const distinct = (values: readonly string[]): boolean => new Set(values).size === values.length;
  const differ =
    distinct(peppers.map((pepper) => pepper.id)) && distinct(peppers.map((pepper) => pepper.secret.toString('hex')));
  if (!first || !sound || !differ) {
    context.addIssue({
      code: 'custom',
      message: `must be id:base64,.. with different ids and secrets, of at least ${MIN_PEPPER_BYTES} bytes each (openssl rand -base64 32)`,
    });
    return z.NEVER;
  }
  return [first, ...rest];
}
