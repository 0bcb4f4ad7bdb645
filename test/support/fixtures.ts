/** Global fixtures of a run: PostgreSQL servers for all its workers. */

import { startPostgres } from './postgres.ts';

// A worker that is measured writes its coverage while it exits, which may take longer than the second after which the pool of workers
// sends SIGTERM: half a file would be left, and counted as nothing.
if (process.env['NODE_V8_COVERAGE']) process.on('SIGTERM', () => undefined);

let stop: (() => Promise<void>) | undefined;

export async function mochaGlobalSetup(): Promise<void> {
  stop = await startPostgres();
}

export async function mochaGlobalTeardown(): Promise<void> {
  await stop?.();
}
