/** The settings: their names, schemas and defaults. */

import path from 'node:path';
import { z } from 'zod';
import { OTEL_SETTINGS } from './otel-settings.ts';
import { ROOT } from './release.ts';
import {
  databaseUrl,
  folder,
  integer,
  isBaseUrl,
  LIFETIME,
  LIFETIME_FORM,
  lifetimeMs,
  OPERATOR,
  parsePeppers,
  parseProxies,
  parseWebhookSecrets,
  rateLimit,
  rateLimitOrNone,
  redisUrl,
  webhookUrl,
} from './setting-forms.ts';

/** A table, and so over a screen: setting, schema, default and help. */
export const SETTINGS = {
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

export interface Setting {
  readonly schema: z.ZodType<unknown, string>;
  readonly default?: string;
  /** Masked wherever it is shown; and `X_FILE` may name a file that holds it, in place of X. */
  readonly secret?: true;
  readonly help: string;
}
