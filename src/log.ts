/** Structured logs on standard error. The decision log is the record of decisions; this one is for operators. */

import { pino } from 'pino';

export type Log = pino.Logger;

/**
 * Errors are logged by name, code, message and stack, with their causes. Their other fields are left out: PostgreSQL's
 * `detail` quotes values of the row at fault.
 */
export function createLog(level: string): Log {
  return pino(
    { level, serializers: { error: describe }, base: { pid: process.pid } },
    pino.destination({ fd: 2, sync: true }),
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
