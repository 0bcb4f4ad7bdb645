/** The settings: their names, schemas and defaults. */

import { existsSync, readFileSync } from 'node:fs';
import { BlockList, isIP } from 'node:net';
import path from 'node:path';
import { z } from 'zod';
import type { Pepper } from './credentials/token.ts';
import { Refusal } from './errors.ts';
import { rateLimitSchema } from './input/scalars.ts';
import { OTEL_SETTINGS } from './otel-settings.ts';
import { SERVICE } from './service-name.ts';
import { othersMayRead, readSettingFile } from './setting-file.ts';

/** The package's root: above src/, or above dist/src/ in the build. */
const PARENT = path.dirname(import.meta.dirname);
export const ROOT = existsSync(path.join(PARENT, 'package.json')) ? PARENT : path.dirname(PARENT);

export const VERSION = (JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as { version: string })
  .version;

const MIN_PEPPER_BYTES = 32;

const integer = (min: number, max: number) =>
  z
    .string()
    .regex(/^\d{1,10}$/, `must be a whole number from ${min} to ${max}`)
    .transform(Number)
    .refine((value) => value >= min && value <= max, `must be a whole number from ${min} to ${max}`);

/** What an operator may be named by. */
export const OPERATOR = /^[\p{L}\p{N}\p{P}\p{S}](?:[\p{L}\p{N}\p{P}\p{S} ]{0,98}[\p{L}\p{N}\p{P}\p{S}])?$/u;

const folder = z.string().transform((name) => path.resolve(name));

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

const databaseUrl = z
  .string()
  .refine(isEncoded, { message: ENCODE, abort: true })
  .refine((text) => {
    const url = URL.canParse(text) ? new URL(text) : undefined;
    return url?.protocol === 'postgres:' || url?.protocol === 'postgresql:';
  }, 'must be postgres://user:password@host:port/database');

const redisUrl = z.string().refine((text) => {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  // ioredis reads a URL's query as options, which would override ours.
  return (url?.protocol === 'redis:' || url?.protocol === 'rediss:') && url.hostname !== '' && url.search === '';
}, 'must be redis://user:password@host:port/number, or rediss:// for TLS, without a query');

const webhookUrl = z
  .string()
  .refine((text) => {
    const url = URL.canParse(text) ? new URL(text) : undefined;
    const loopback = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(url?.hostname ?? '');
    return (url?.protocol === 'https:' || (url?.protocol === 'http:' && loopback)) && url.username === '';
  }, 'must be https://host/path, or http:// on this machine, without a user')
  .transform((text) => new URL(text));

const WEBHOOK_SECRET_FORM =
  'must be whsec_ and base64 of 24 to 64 bytes (echo "whsec_$(openssl rand -base64 32)"); or two, the new one and the old one, with a comma between';

function parseWebhookSecrets(text: string, context: z.RefinementCtx): readonly Buffer[] {
  const secrets = text.split(',').map((entry) => {
    const [, base64 = ''] = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(entry.trim()) ?? [];
    return Buffer.from(base64, 'base64');
  });
  if (secrets.length <= 2 && secrets.every(({ length }) => length >= 24 && length <= 64)) return secrets;
  context.addIssue({ code: 'custom', message: WEBHOOK_SECRET_FORM });
  return z.NEVER;
}

const RATE_LIMIT_FORM = 'must be requests/seconds such as 600/60: 1 to 2^31-1 requests in 1 to 86400 seconds';
const rateLimit = z
  .string()
  .regex(/^\d{1,10}\/\d{1,5}$/, RATE_LIMIT_FORM)
  .transform((text) => ({ requests: Number(text.split('/')[0]), windowSeconds: Number(text.split('/')[1]) }))
  .refine((limit) => rateLimitSchema.safeParse(limit).success, RATE_LIMIT_FORM);

const PROXIES_FORM = 'must be addresses or networks such as 192.0.2.1,10.0.0.0/8,2001:db8::/32, none of them everybody';

function parseProxies(text: string, context: z.RefinementCtx): BlockList {
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

const LIFETIME = /^([1-9]\d{0,4})([dhms])$/;
const LIFETIME_FORM = 'must be a whole number of days, hours, minutes or seconds, such as 90d, 12h, 30m or 45s';
const UNIT_MS: Readonly<Record<string, number>> = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1000 };
const lifetimeMs = (text: string): number => {
  const [, count, unit = ''] = LIFETIME.exec(text) ?? [];
  return Number(count) * (UNIT_MS[unit] ?? Number.NaN);
};

/** A URL that reads the same whoever parses it. */
/** The path becomes that of a route, whose router gives other signs a meaning of its own. */
const isBaseUrl = (text: string): boolean => {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  return (
    url?.protocol === 'https:' &&
    url.username === '' &&
    /^[\w.~%/-]*$/.test(url.pathname) &&
    `${url.origin}${url.pathname.replace(/\/$/, '')}` === text
  );
};

const rateLimitOrNone = z.string().transform((text, context) => {
  if (text === 'none') return 'none' as const;
  const { data } = rateLimit.safeParse(text);
  if (data) return data;
  context.addIssue({ code: 'custom', message: `${RATE_LIMIT_FORM}, or none` });
  return z.NEVER;
});

/** A table, and so over a screen: setting, schema, default and help. */
const SETTINGS = {
  PORT: { schema: integer(0, 65535), default: '8080', help: 'port of the HTTP service; 0: any free one' },
  HOST: { schema: z.string(), default: '127.0.0.1', help: 'address that the HTTP service listens on' },
  ADMIN_PORT: {
    schema: integer(0, 65535),
    help: 'port of a second listener for all that is no question: administration, /readyz, /metrics, /openapi.json; unset: PORT has all',
  },
  ADMIN_HOST: { schema: z.string(), help: 'address that it listens on; unset: HOST' },
  DATABASE_URL: { schema: databaseUrl, secret: true, help: 'PostgreSQL 15 or later; unset: embedded, under DATA_DIR' },
  DATABASE_DIRECT_URL: {
    schema: databaseUrl,
    secret: true,
    help: 'the same database past a pooler, for the log, the change feed and migrations; unset: DATABASE_URL',
  },
  DATA_DIR: { schema: folder, default: path.join(ROOT, '.data'), help: 'folder of the embedded PostgreSQL' },
  POLICY_DIR: { schema: folder, default: path.join(ROOT, 'policies'), help: 'folder of the policy files' },
  SHADOW_POLICY_DIR: {
    schema: folder,
    help: 'folder of a shadow policy, evaluated beside the live one; unset: none',
  },
  POLICY_POLL_MS: {
    schema: integer(10, 3_600_000),
    default: '2000',
    help: 'milliseconds between readings of the policy folders, where no file event reports a change',
  },
  POLICY_SETTLE_MS: {
    schema: integer(1, 3_600_000),
    default: '1000',
    help: 'milliseconds for which a changed policy folder must stay the same before it goes live',
  },
  BOOTSTRAP_TOKEN: {
    // Short ones could be guessed, and it may do everything: a start with one is refused.
    schema: z
      .string()
      .regex(/^[!-~]{32,}$/, 'must be 32 or more visible ASCII characters without spaces (openssl rand -hex 32)'),
    secret: true,
    help: 'token of a caller with every scope, for the first steps; unset: there is none',
  },
  KEY_PEPPERS: {
    schema: z.string().transform(parsePeppers),
    secret: true,
    help: 'secrets that keys are digested under, id:base64,..; the first is current',
  },
  AUTHZ_ACTOR: {
    schema: z.string().regex(OPERATOR, 'must be a name of 1 to 100 characters, on one line'),
    help: 'who runs commands, as the events that they leave name them; unset: account and machine',
  },
  AUDIT_CHECKPOINTS: {
    schema: folder,
    help: 'file that checkpoints of the decision log are appended to, outside the database; unset: under DATA_DIR',
  },
  AUDIT_SIGNING_KEY: {
    schema: z.string(),
    secret: true,
    help: 'Ed25519 key that signs them: PKCS #8 PEM, or the path of a file with it',
  },
  AUDIT_CHECKPOINT_SECONDS: { schema: integer(1, 86_400), default: '60', help: 'seconds between two checkpoints' },
  RATE_LIMIT: {
    schema: rateLimit,
    default: '600/60',
    help: 'requests/seconds that a key may use when neither it nor its user has a limit',
  },
  MAX_KEY_LIFETIME: {
    schema: z.string().regex(LIFETIME, LIFETIME_FORM).transform(lifetimeMs),
    help: 'longest life of an API key that is made or changed, such as 90d or 12h; unset: any',
  },
  REDIS_URL: {
    schema: redisUrl,
    secret: true,
    help: 'Redis or Valkey that counts rate limits for several processes; unset: each counts its own',
  },
  REDIS_TIMEOUT_MS: {
    schema: integer(1, 10_000),
    default: '50',
    help: 'milliseconds that a decision waits for Redis before its process counts alone',
  },
  AUTHZEN_BASE_URL: {
    schema: z
      .string()
      .refine(
        isBaseUrl,
        'must be https://host or https://host/path, without a query, a fragment or a slash at its end; the path of letters, digits and . _ ~ % -',
      ),
    help: 'what AuthZEN clients know this service by; unset: /.well-known/authzen-configuration is not served',
  },
  FINDINGS_INTERVAL_SECONDS: {
    schema: integer(0, 21_600),
    default: '300',
    help: 'seconds after which findings are looked for again, by one of the replicas; 0: never',
  },
  FINDINGS_THRESHOLDS: {
    schema: z
      .string()
      .regex(
        /^\w+=[1-9]\d{0,5}(,\w+=[1-9]\d{0,5})*$/,
        'must be name=number,.. such as unusedDays=30,burstUses=5000, from 1 to 999999',
      )
      .transform(
        (text) => new Map(text.split(',').map((each) => [each.split('=')[0] ?? '', Number(each.split('=')[1])])),
      ),
    help: 'thresholds of findings in place of their defaults, name=number,..: docs/key-hygiene.md',
  },
  FINDINGS_WEBHOOK_URL: {
    schema: webhookUrl,
    secret: true,
    help: 'where new findings are posted to, signed with FINDINGS_WEBHOOK_SECRET; unset: nowhere',
  },
  FINDINGS_WEBHOOK_SECRET: {
    schema: z.string().transform(parseWebhookSecrets),
    secret: true,
    help: 'secrets that these messages are signed with, whsec_base64,..; a signature by each',
  },
  LOG_LEVEL: {
    schema: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']),
    default: 'info',
    help: 'least level that is logged, to standard error',
  },
  DECISION_DEADLINE_MS: { schema: integer(10, 60_000), default: '250', help: 'milliseconds that a decision may take' },
  DATABASE_POOL: { schema: integer(1, 1000), default: '20', help: 'most connections to PostgreSQL' },
  CACHE_MB: {
    schema: integer(1, 65_536),
    default: '256',
    help: 'most MiB of memory for what is kept of keys: facts, and windows of rate limits',
  },
  FAST_PATH: {
    schema: z.enum(['on', 'off']),
    default: 'on',
    help: 'on: plain questions are answered past Koa; off: every request goes through Koa, with the same answers',
  },
  MAX_CONNECTIONS: {
    schema: integer(1, 1_000_000),
    default: '10000',
    help: 'most connections of HTTP clients; with ADMIN_PORT, of each listener',
  },
  MAX_CONNECTIONS_PER_ADDRESS: {
    schema: integer(1, 1_000_000),
    help: 'most connections of one client address, those of trusted proxies aside; unset: any number',
  },
  FAILED_AUTHENTICATION_LIMIT: {
    schema: rateLimitOrNone,
    default: '100/60',
    help: 'requests/seconds of one client address without a live caller token that get a 401, the others a 429; or none',
  },
  TRUSTED_PROXIES: {
    schema: z.string().transform(parseProxies),
    help: 'addresses and networks of proxies whose X-Forwarded-For names the client; unset: none',
  },
  DRAIN_DELAY_MS: {
    schema: integer(0, 600_000),
    default: '0',
    help: 'milliseconds for which requests are still served after SIGTERM, while /readyz already fails',
  },
  SHUTDOWN_LIMIT_MS: {
    schema: integer(1, 600_000),
    default: '10000',
    help: 'milliseconds that accepted requests may take after SIGTERM',
  },
  ...OTEL_SETTINGS,
} as const satisfies Record<string, Setting>;

interface Setting {
  readonly schema: z.ZodType<unknown, string>;
  readonly default?: string;
  /** Masked wherever it is shown; and `X_FILE` may name a file that holds it, in place of X. */
  readonly secret?: true;
  readonly help: string;
}

type Settings = typeof SETTINGS;

/** The parsed settings under their environment names; a setting without default may be undefined. */
export type Config = {
  readonly [Name in keyof Settings]:
    | z.output<Settings[Name]['schema']>
    | (Settings[Name] extends { default: string } ? never : undefined);
};

/** Reads the settings; an empty variable counts as unset. @throws Refusal that names each bad setting, without its value. */
export const loadConfig = (environment: NodeJS.ProcessEnv): Config => loadSettings(environment, NAMES);

/** Some of the settings, whatever the others are. @throws Refusal, as loadConfig */
export function loadSettings<Name extends keyof Config>(
  environment: NodeJS.ProcessEnv,
  names: readonly Name[],
): Pick<Config, Name> {
  const faults: string[] = [];
  const entries = names.map((name) => {
    try {
      return [name, readSetting(name, environment)];
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      faults.push(error.message);
      return [name, undefined];
    }
  });
  if (faults.length > 0) throw new Refusal(`the settings are refused:\n  ${faults.join('\n  ')}`);
  return Object.fromEntries(entries) as Pick<Config, Name>;
}

const NAMES = Object.keys(SETTINGS) as (keyof Config)[];
const settingOf = (name: keyof Config): Setting => SETTINGS[name];

/** The path of the file that holds a secret, if `X_FILE` names one for the setting X. */
const fileOf = (name: keyof Config, environment: NodeJS.ProcessEnv): string | undefined =>
  settingOf(name).secret ? environment[`${name}_FILE`] || undefined : undefined;

/** The parsed value. @throws Refusal that names the variable, without its value */
function readSetting(name: keyof Config, environment: NodeJS.ProcessEnv): unknown {
  const file = fileOf(name, environment);
  const source = file === undefined ? name : `${name}_FILE`;
  if (file !== undefined && environment[name])
    throw new Refusal(`${name} and ${source} are both set; unset one of them`);
  const text = file === undefined ? environment[name] || settingOf(name).default : textOf(source, file);
  if (text === undefined) return undefined;
  const parsed = settingOf(name).schema.safeParse(text);
  if (parsed.success) return parsed.data;
  const fault = parsed.error.issues[0]?.message ?? 'is not valid';
  throw new Refusal(file === undefined ? `${name} ${fault}` : `${source}: the file's text ${fault}`);
}

function textOf(source: string, file: string): string {
  try {
    return readSettingFile(file);
  } catch (error) {
    throw error instanceof Refusal ? new Refusal(`${source} ${error.message}`) : error;
  }
}

/** What is unwise about the files that secrets are read from, for the log. To be called when `loadConfig` has read them. */
export function warningsOn(environment: NodeJS.ProcessEnv): string[] {
  const files = NAMES.map((name) => [`${name}_FILE`, fileOf(name, environment) ?? '']);
  const key = environment['AUDIT_SIGNING_KEY'] ?? '';
  // Which is a path, or the key itself.
  if (!key.includes('\n') && path.isAbsolute(key)) files.push(['AUDIT_SIGNING_KEY', key]);
  return files
    .filter(([, file = '']) => file !== '' && othersMayRead(file))
    .map(
      ([name]) =>
        `every account of this machine may read the file that ${name} names: take that from its mode (chmod o-r)`,
    );
}

/** A setting as `authz config` shows it. */
export interface SettingShown {
  readonly name: string;
  readonly value: string | null;
  readonly source: 'environment' | 'file' | 'default';
  /** The path of the file that it is read from. */
  readonly file?: string;
  readonly help: string;
}

/** Every setting for a person to read: secrets are masked, whatever their value. */
export function describeConfig(environment: NodeJS.ProcessEnv): SettingShown[] {
  loadConfig(environment);
  return NAMES.map((name) => {
    const { secret, help, default: preset = null } = settingOf(name);
    const file = fileOf(name, environment);
    if (file !== undefined) return { name, value: MASK, source: 'file', file, help };
    const set = environment[name] || undefined;
    if (set === undefined) return { name, value: preset, source: 'default', help };
    return { name, value: secret ? MASK : set, source: 'environment', help };
  });
}

const MASK = '********';

/** Where traces go; undefined: none are made. */
export const tracesUrl = (config: Config): string | undefined => {
  if (config.OTEL_SDK_DISABLED === 'true') return undefined;
  const base = config.OTEL_EXPORTER_OTLP_ENDPOINT;
  return config.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT ?? (base && `${base.replace(/\/$/, '')}/v1/traces`);
};

/** What this process is called in its log and in traces. */
export const serviceNameOf = ({
  OTEL_SERVICE_NAME: name,
  OTEL_RESOURCE_ATTRIBUTES: attributes,
}: Pick<Config, 'OTEL_SERVICE_NAME' | 'OTEL_RESOURCE_ATTRIBUTES'>): string =>
  name ?? attributes?.['service.name'] ?? SERVICE;

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
