/** The operators' log: JSON lines on standard error. Decisions are recorded in the database instead (src/audit). */

import { pino } from 'pino';

export type Log = pino.Logger;

/**
 * Of errors only name, code, message, stack and causes are logged: other fields may hold secrets, such as `detail` of a
 * PostgreSQL error, which quotes values of the row.
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
