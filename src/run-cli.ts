/** The CLI as a function: parses the arguments, runs a verb, returns the exit code. The only file that joins service and HTTP. */

import { Command, CommanderError } from 'commander';
import { escapedLines } from './cli/terminal/output.ts';
import { createTerminal, type Streams, type Terminal } from './cli/terminal/terminal.ts';
import { addVerbs } from './cli/verbs.ts';
import { ROOT, VERSION } from './config.ts';
import { openDatabase } from './database.ts';
import { Failure, Refusal } from './errors.ts';
import { createLog } from './log.ts';

const NO_DEMO =
  'No demo: its data are loaded into a new embedded database only. Unset DATABASE_URL, or name a new DATA_DIR.';
const USAGE = 2;
export const FAILED = 3;

/** Runs `authz ...argv` (without node and script). Returns the exit code; errors are written to `stderr`. */
export async function runCli(argv: readonly string[], streams: Streams): Promise<number> {
  const terminal = createTerminal(streams);
  // Ignore EPIPE: the reader closed the pipe (`| head`). `audit tail`, `audit export` and `import` handle it themselves too.
  terminal.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
  try {
    await programOn(terminal).parseAsync(argv, { from: 'user' });
    return terminal.exitCode;
  } catch (error) {
    // Commander has printed its own errors.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : USAGE;
    terminal.stderr.write(`authz: ${escapedLines(describe(error))}\n`);
    return error instanceof Refusal || error instanceof Failure ? error.exitCode : FAILED;
  }
}

function programOn(terminal: Terminal): Command {
  const { stdout, stderr } = terminal;
  const program = new Command('authz')
    .description('may this API key do this action on this business? The policy decision point of the Iqra AI platform')
    .version(VERSION)
    .showHelpAfterError('(authz VERB --help explains a verb)')
    .configureOutput({
      writeOut: (text) => stdout.write(text),
      writeErr: (text) => stderr.write(text),
      getOutHelpWidth: () => stdout.columns ?? 80,
      getErrHelpWidth: () => stderr.columns ?? 80,
      outputError: (text, write) => write(escapedLines(text)),
    })
    .exitOverride();
  program
    .command('serve')
    .description('start the service, on an embedded PostgreSQL under DATA_DIR when DATABASE_URL is unset')
    .option('--demo', 'load the demo data into a new embedded database, and show decisions on it')
    .addHelpText('after', '\nExample:\n  PORT=9090 authz serve')
    .action((options: { demo?: true }) => serve(terminal, options));
  addVerbs(program, terminal);
  return program;
}

async function serve(terminal: Terminal, { demo = false }: { demo?: boolean }): Promise<void> {
  const stop = stopOf(terminal.signal);
  // Imported lazily, so that other verbs start without loading the HTTP server.
  const [{ createService }, { listen }, { loadDemo, showDemo }] = await Promise.all([
    import('./service.ts'),
    import('./http/server.ts'),
    import('./cli/demo.ts'),
  ]);
  const config = terminal.config();
  const log = createLog(config.LOG_LEVEL, terminal.stderr);
  const database = await openDatabase(config);
  try {
    const secrets = demo ? await loadDemo(config, ROOT, database) : undefined;
    const service = await createService(config, log, database);
    try {
      const server = await listen(service);
      log.info({ address: server.address, policy: service.live.policy().digest }, 'listening');
      if (secrets) await showDemo(terminal, server.address, secrets);
      else if (demo) terminal.print(NO_DEMO);
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

/** Resolves with the name of the signal that stops the run. */
const stopOf = (signal: AbortSignal): Promise<string> =>
  new Promise((resolve) => signal.addEventListener('abort', () => resolve(String(signal.reason)), { once: true }));

/** The message, and the issues of a refused document. */
function describe(error: unknown): string {
  const issues = error instanceof Failure ? (error.issues ?? []) : [];
  const lines = issues.map(({ path, message }) => `  ${path || '(document)'}: ${message}`);
  return [error instanceof Error ? error.message : String(error), ...lines].join('\n');
}
