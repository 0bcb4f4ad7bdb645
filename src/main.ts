/** The binary `authz`: from the arguments to a verb. The only place where the service and HTTP meet. */

import { Command } from 'commander';
import { print } from './cli/terminal/output.ts';
import { addVerbs } from './cli/verbs.ts';
import { loadConfig, ROOT, VERSION } from './config.ts';
import { openDatabase } from './database.ts';
import { Failure, Refusal } from './errors.ts';
import { createLog } from './log.ts';

const NO_DEMO =
  'No demo: its data are loaded into a new embedded database only. Unset DATABASE_URL, or name a new DATA_DIR.';
const USAGE = 2;
const FAILED = 3;

const program = new Command('authz')
  .description('may this API key do this action on this business? The policy decision point of the Iqra AI platform')
  .version(VERSION)
  .showHelpAfterError('(authz VERB --help explains a verb)')
  .exitOverride((error) => {
    process.exitCode = error.exitCode === 0 ? 0 : USAGE;
    throw error;
  });

program
  .command('serve')
  .description('start the service, on an embedded PostgreSQL under DATA_DIR when DATABASE_URL is unset')
  .option('--demo', 'load the demo data into a new embedded database, and show decisions on it')
  .addHelpText('after', '\nExample:\n  PORT=9090 authz serve')
  .action(serve);
addVerbs(program);

async function serve({ demo = false }: { demo?: boolean }): Promise<void> {
  const stop = stopSignal();
  // Only here: no other verb should have to wait for an HTTP server to be read.
  const [{ createService }, { listen }, { loadDemo, showDemo }] = await Promise.all([
    import('./service.ts'),
    import('./http/server.ts'),
    import('./cli/demo.ts'),
  ]);
  const config = loadConfig();
  const log = createLog(config.LOG_LEVEL);
  const database = await openDatabase(config);
  try {
    const secrets = demo ? await loadDemo(config, ROOT, database) : undefined;
    const service = await createService(config, log, database);
    try {
      const server = await listen(service);
      log.info({ address: server.address, policy: service.live.policy().digest }, 'listening');
      if (secrets) await showDemo(server.address, secrets);
      else if (demo) print(NO_DEMO);
      log.info({ signal: await stop }, 'stopping');
      await server.close();
    } finally {
      await service.close();
    }
  } finally {
    await database.close();
  }
  log.info('stopped');
}

/** Resolves at the first signal to stop. A second one does not wait for anything. */
function stopSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let stopping = false;
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.on(signal, () => {
        if (stopping) process.exit(FAILED);
        stopping = true;
        resolve(signal);
      });
    }
  });
}

function fail(error: unknown): void {
  // commander has said it all, and set the exit code.
  if (error instanceof Error && 'code' in error && String(error.code).startsWith('commander.')) return;
  const known = error instanceof Refusal || error instanceof Failure;
  const issues = error instanceof Failure ? (error.issues ?? []) : [];
  const lines = issues.map(({ path, message }) => `  ${path || '(document)'}: ${message}`);
  const message = error instanceof Error ? error.message : String(error);
  process.stderr.write(`authz: ${[message, ...lines].join('\n')}\n`);
  process.exitCode = known ? error.exitCode : FAILED;
}

// Whoever reads the output has seen enough. A verb to which that matters hears of it too.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});
await program.parseAsync().catch(fail);
