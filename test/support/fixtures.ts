/** Root hooks: servers start when a test first needs them, and stop with the run. */

import { stopPostgres } from './postgres.ts';

export const mochaHooks = {
  async afterAll(): Promise<void> {
    await stopPostgres();
  },
};
