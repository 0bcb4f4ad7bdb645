/** The operators' log: JSON lines on standard error. Decisions are recorded in the database instead (src/audit). */

import type { Writable } from 'node:stream';
import { pino } from 'pino';
import { maskSecrets } from './mask.ts';
import { SERVICE } from './service-name.ts';

export type Log = pino.Logger;

/** What each line names as its source. */
export interface LoggedBy {
  readonly service?: string;
  readonly version?: string;
}

/**
 * A line has the name of its level, its time in RFC 3339 (UTC), and what it comes from.
 * Whatever has the form of an API key or caller token is masked. Of errors only name, code, message, stack and causes are logged: other fields may hold secrets, such as `detail` of a
 * PostgreSQL error, which quotes values of the row.
 */
export function createLog(
  level: string,
  out: Writable & { readonly fd?: number } = process.stderr,
  { service = SERVICE, version }: LoggedBy = {},
): Log {
  return pino(
    {
      level,
      serializers: { error: describe },
      base: { service, version, pid: process.pid },
      formatters: { level: (name) => ({ level: name }) },
      timestamp: pino.stdTimeFunctions.isoTime,
      hooks: { streamWrite: maskSecrets },
    },
    // By descriptor, where there is one: at once, and a reader that went away (EPIPE) is no crash.
    out.fd === undefined ? out : pino.destination({ fd: out.fd, sync: true }),
  );
}

interface Series {
  /** Since its last line. */
  count: number;
  last: readonly [fields: object, message: string];
}

const SERIES = new WeakMap<Log, Map<string, Series>>();
const INTERVAL_MS = 1000;

/**
 * Logs what can come in floods, and at an outsider's will: of each `kind`, which is one of a few, the first at once and then the
 * last of each second, with the `count` of those since the line before. The message must be the same for all of a kind.
 */
export function logSampled(log: Log, level: 'warn' | 'error', kind: string, fields: object, message: string): void {
  if (!log.isLevelEnabled(level)) return;
  const kinds = SERIES.get(log) ?? new Map<string, Series>();
  SERIES.set(log, kinds);
  const series = kinds.get(kind);
  if (series) {
    series.count += 1;
    series.last = [fields, message];
    return;
  }
  const begun: Series = { count: 1, last: [fields, message] };
  kinds.set(kind, begun);
  const write = (): void => {
    const [lastFields, text] = begun.last;
    if (begun.count === 0) {
      kinds.delete(kind);
      return;
    }
    log[level]({ ...lastFields, count: begun.count }, text);
    begun.count = 0;
    setTimeout(write, INTERVAL_MS).unref();
  };
  write();
}

function describe(error: unknown): unknown {
  if (!(error instanceof Error)) return { message: typeof error };
  const { name, message, stack, cause } = error;
  const code = (error as { code?: unknown }).code;
  return {
    name,
    message,
    ...(typeof code === 'string' && { code }),
    stack: stack
      ?.split('\n')
      .slice(1, 6)
      .map((line) => line.trim()),
    ...(cause !== undefined && { cause: describe(cause) }),
  };
}
