/** Global fixtures of a run: PostgreSQL servers for all its workers. */

import { startPostgres } from './postgres.ts';

let stop: (() => Promise<void>) | undefined;

export async function mochaGlobalSetup(): Promise<void> {
  stop = await startPostgres();
}

export async function mochaGlobalTeardown(): Promise<void> {
  await stop?.();
}
