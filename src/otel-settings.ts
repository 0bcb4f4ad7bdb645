/** OpenTelemetry's own settings, as far as this service knows them: their names and defaults are that project's, but for the sampler. */

import { z } from 'zod';

const HEADERS_FORM = 'must be name=value,.. with values percent-encoded, such as api-key=abc%3D';
const RESOURCE_FORM =
  'must be name=value,.. with values percent-encoded, such as deployment.environment.name=production';

const ENDPOINT_FORM =
  'must be http://host:port/path or https://.., without user, password, query and fragment: credentials go into OTEL_EXPORTER_OTLP_HEADERS';

/** A URL that `authz config` and the log may show. */
const endpoint = z.string().refine((text) => {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isBare = url?.username === '' && url.password === '' && !/[?#]/.test(text);
  return isBare && (url.protocol === 'http:' || url.protocol === 'https:');
}, ENDPOINT_FORM);

/** Members as W3C Baggage writes them: `name=value,name=value`. */
const members = (name: RegExp, form: string) =>
  z.string().transform((text, context): Readonly<Record<string, string>> => {
    const pairs = text.split(',').flatMap((part) => (part.trim() === '' ? [] : [pairOf(part)]));
    if (pairs.every((pair) => pair !== undefined && name.test(pair[0])))
      return Object.fromEntries(pairs as [string, string][]);
    context.addIssue({ code: 'custom', message: form });
    return z.NEVER;
  });

function pairOf(part: string): [string, string] | undefined {
  const at = part.indexOf('=');
  try {
    const value = decodeURIComponent(part.slice(at + 1).trim());
    return at > 0 && /^[ -~\t\u0080-\u{10ffff}]*$/u.test(value) ? [part.slice(0, at).trim(), value] : undefined;
  } catch {
    return undefined;
  }
}

const headers = members(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, HEADERS_FORM).refine(
  (all) => Object.values(all).every((value) => /^[ -~\t]*$/.test(value)),
  HEADERS_FORM,
);

const share = z
  .string()
  .regex(/^(?:0(?:\.\d{1,10})?|\.\d{1,10}|1(?:\.0{1,10})?)$/, 'must be a share from 0 to 1, such as 0.01')
  .transform(Number);

export const SAMPLERS = [
  'always_on',
  'always_off',
  'traceidratio',
  'parentbased_always_on',
  'parentbased_always_off',
  'parentbased_traceidratio',
] as const;

export const OTEL_SETTINGS = {
  OTEL_EXPORTER_OTLP_ENDPOINT: {
    schema: endpoint,
    help: 'OpenTelemetry collector that traces are sent to, under its /v1/traces; unset, with the next: no traces are made',
  },
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: {
    schema: endpoint,
    help: 'whole address that traces are sent to, in place of the above',
  },
  OTEL_EXPORTER_OTLP_HEADERS: { schema: headers, secret: true, help: 'headers for the collector, name=value,..' },
  OTEL_EXPORTER_OTLP_TRACES_HEADERS: {
    schema: headers,
    secret: true,
    help: 'the same in place of the above, for traces',
  },
  OTEL_EXPORTER_OTLP_PROTOCOL: {
    schema: z.enum(['http/protobuf', 'http/json']),
    default: 'http/protobuf',
    help: 'how traces are sent',
  },
  OTEL_EXPORTER_OTLP_COMPRESSION: { schema: z.enum(['none', 'gzip']), default: 'none', help: 'how that is compressed' },
  OTEL_EXPORTER_OTLP_TIMEOUT: {
    schema: z
      .string()
      .regex(/^[1-9]\d{0,4}$/, 'must be milliseconds from 1 to 99999')
      .transform(Number),
    default: '10000',
    help: 'milliseconds that the collector may take',
  },
  OTEL_TRACES_SAMPLER: {
    schema: z.enum(SAMPLERS),
    default: 'parentbased_always_off',
    help: 'which requests are traced; the default: those whose caller traces them',
  },
  OTEL_TRACES_SAMPLER_ARG: { schema: share, default: '1', help: 'share of traces, for the samplers with a ratio' },
  OTEL_SERVICE_NAME: {
    schema: z.string().regex(/^[!-~](?:[ -~]{0,98}[!-~])?$/, 'must be 1 to 100 visible ASCII characters'),
    help: 'what traces and lines of the log call this service; unset: iqra-authz',
  },
  OTEL_RESOURCE_ATTRIBUTES: {
    schema: members(/^[!-~]+$/, RESOURCE_FORM),
    help: 'what else traces say of this process, name=value,..',
  },
  OTEL_SDK_DISABLED: {
    schema: z.enum(['true', 'false']),
    default: 'false',
    help: 'true: no traces, whatever else is set',
  },
} as const;
