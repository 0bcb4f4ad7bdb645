/** The operators' log: JSON lines on standard error. Decisions are recorded in the database instead (src/audit). */

import type { Writable } from 'node:stream';
import { pino } from 'pino';
import { maskSecrets } from './mask.ts';

export type Log = pino.Logger;

/**
 * Whatever has the form of an API key or caller token is masked. Of errors only name, code, message, stack and causes are logged: other fields may hold secrets, such as `detail` of a
 * PostgreSQL error, which quotes values of the row.
 */
export function createLog(level: string, out: Writable & { readonly fd?: number } = process.stderr): Log {
  return pino(
    { level, serializers: { error: describe }, base: { pid: process.pid }, hooks: { streamWrite: maskSecrets } },
    // By descriptor, where there is one: at once, and a reader that went away (EPIPE) is no crash.
    out.fd === undefined ? out : pino.destination({ fd: out.fd, sync: true }),
  );
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
