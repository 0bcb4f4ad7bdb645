/** The binary `authz`: parses the arguments, runs a verb, sets the exit code. The only file that joins service and HTTP. */

import { Command } from 'commander';
import { escapedLines, print } from './cli/terminal/output.ts';
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
  .configureOutput({ outputError: (text, write) => write(escapedLines(text)) })
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
  // Imported lazily, so that other verbs start without loading the HTTP server.
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

/** Resolves at the first SIGTERM or SIGINT; the second exits at once. */
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

/** Prints the error and sets the exit code. */
function fail(error: unknown): void {
  // Commander has printed its own errors, and `exitOverride` has set the exit code.
  if (error instanceof Error && 'code' in error && String(error.code).startsWith('commander.')) return;
  const known = error instanceof Refusal || error instanceof Failure;
  const issues = error instanceof Failure ? (error.issues ?? []) : [];
  const lines = issues.map(({ path, message }) => `  ${path || '(document)'}: ${message}`);
  const message = error instanceof Error ? error.message : String(error);
  process.stderr.write(`authz: ${escapedLines([message, ...lines].join('\n'))}\n`);
  process.exitCode = known ? error.exitCode : FAILED;
}

// Ignore EPIPE: the reader closed the pipe (`| head`). `audit tail`, `audit export` and `import` handle it themselves too.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});
await program.parseAsync().catch(fail);
