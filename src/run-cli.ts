/** The CLI as a function: parses the arguments, runs a verb, returns the exit code. The only file that joins service and HTTP. */

import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Command, CommanderError } from 'commander';
import type { DemoSecrets } from './cli/demo.ts';
import { escapedLines } from './cli/terminal/output.ts';
import { createTerminal, type Output, type RunInput, type Terminal } from './cli/terminal/terminal.ts';
import { addVerbs } from './cli/verbs.ts';
import { type Config, serviceNameOf, warningsOn } from './config.ts';
import { Failure, Refusal } from './errors.ts';
import type { HttpServer } from './http/server.ts';
import type { Log } from './log.ts';
import { maskSecrets } from './mask.ts';
import { ROOT, VERSION } from './release.ts';
import type { Service } from './service.ts';

const NO_DEMO =
  'No demo: its data are loaded into a new embedded database only. Unset DATABASE_URL, or name a new DATA_DIR.';
const USAGE = 2;
export const FAILED = 3;

/** Runs `authz ...argv` (without node and script). Returns the exit code; errors are written to `stderr`. */
export async function runCli(argv: readonly string[], input: RunInput): Promise<number> {
  const { stdout, stderr } = input;
  const outputs = [watchOutput(stdout), watchOutput(stderr)];
  const code = await run(argv, createTerminal(input));
  const faults = await Promise.all(outputs.map(({ end }) => end()));
  const fault = faults.find((error) => error !== undefined);
  if (fault === undefined) return code;
  stderr.write(`authz: the output cannot be written (${escapedLines(fault.message)})\n`, () => undefined);
  return FAILED;
}

async function run(argv: readonly string[], terminal: Terminal): Promise<number> {
  try {
    const program = await programOn(terminal, argv);
    await program.parseAsync(argv, { from: 'user' });
    return terminal.exitCode();
  } catch (error) {
    // Commander has printed its own errors.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : USAGE;
    terminal.stderr.write(`authz: ${escapedLines(maskSecrets(describe(error)))}\n`);
    return error instanceof Refusal || error instanceof Failure ? error.exitCode : FAILED;
  }
}

/**
 * Catches the errors of an output. EPIPE is none: the reader closed the pipe (`| head`); `audit tail`, `audit export` and `import`
 * handle it themselves too. `end` resolves with the first other error once all is written: undefined in general.
 */
function watchOutput(output: Output): { readonly end: () => Promise<Error | undefined> } {
  let fault: Error | undefined;
  const note = (error: NodeJS.ErrnoException): void => {
    if (error.code !== 'EPIPE') fault ??= error;
  };
  output.on('error', note);
  return {
    end: async () => {
      // The callback of the last write comes after all errors of those before it.
      await new Promise((resolve) => output.write('', resolve));
      output.off('error', note);
      return fault;
    },
  };
}

const AS_FIRST = 'write it before the verb: authz --as NAME VERB\n';

async function programOn(terminal: Terminal, argv: readonly string[]): Promise<Command> {
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
      outputError: (text, write) => write(escapedLines(maskSecrets(text) + (text.includes(`'--as'`) ? AS_FIRST : ''))),
    })
    .option('--as <name>', 'who runs this, for the events that it leaves; before the verb (default: AUTHZ_ACTOR)')
    .on('option:as', (name: string) => terminal.actAs(name))
    // An option belongs to the last verb before it: `freeze list --json` is no option of `freeze`.
    .enablePositionalOptions()
    .exitOverride();
  program
    .command('serve')
    .description('start the service, on an embedded PostgreSQL under DATA_DIR when DATABASE_URL is unset')
    .option('--demo', 'load the demo data into a new embedded database, and show decisions on it')
    .addHelpText('after', '\nExample:\n  PORT=9090 authz serve')
    .action((options: { demo?: true }) => serve(terminal, options));
  await addVerbs(program, terminal, argv);
  return program;
}

async function serve(terminal: Terminal, { demo = false }: { demo?: boolean }): Promise<void> {
  // Read now, so that a signal during the start is not lost.
  const { signal } = terminal;
  const config = terminal.config();
  const { createLog } = await import('./log.ts');
  const log = createLog(config.LOG_LEVEL, terminal.stderr, { service: serviceNameOf(config), version: VERSION });
  for (const warning of warningsOn(terminal.env)) log.warn(warning);
  const starting = start(config, log, demo);
  // A start can wait for its database as long as another process migrates it. An embedded one is let finish, so that nothing half-made stays.
  const running = await (config.DATABASE_URL === undefined
    ? starting
    : Promise.race([starting, brokenOff(signal, config.SHUTDOWN_LIMIT_MS)]));
  if (!running) {
    // Nobody was answered yet. This process ends now; where it does not, since others work in it, the service does once it has started.
    starting.then(({ close }) => close()).catch(() => undefined);
    log.info({ signal: String(signal.reason) }, 'stopped during the start');
    return;
  }
  const { server, service, secrets, close } = running;
  try {
    const { address, adminAddress: admin } = server;
    log.info({ address, admin, policy: service.live.policy().digest }, 'listening');
    if (secrets) await (await import('./cli/demo.ts')).showDemo(terminal, address, secrets);
    else if (demo) terminal.print(NO_DEMO);
    log.info({ signal: await whenAborted(signal) }, 'stopping');
  } finally {
    await close();
  }
  log.info('stopped');
}

interface Running {
  readonly server: HttpServer;
  readonly service: Service;
  /** Of new demo data. */
  readonly secrets: DemoSecrets | undefined;
  readonly close: () => Promise<void>;
}

/** Imports lazily, so that other verbs start without loading the service and the HTTP server. */
async function start(config: Config, log: Log, demo: boolean): Promise<Running> {
  const [{ openDatabase }, { createService }, { listen }] = await Promise.all([
    import('./database.ts'),
    import('./service.ts'),
    import('./http/server.ts'),
  ]);
  const database = await openDatabase(config);
  const closers = [database.close];
  try {
    const secrets = demo ? await (await import('./cli/demo.ts')).loadDemo(config, ROOT, database) : undefined;
    const service = await createService(config, log, database);
    closers.push(service.close);
    const server = await listen(service);
    closers.push(server.close);
    return { server, service, secrets, close: () => closeAll(closers) };
  } catch (error) {
    await closeAll(closers);
    throw error;
  }
}

/** In reverse order, each of them even where one fails. */
async function closeAll(closers: (() => Promise<void>)[]): Promise<void> {
  const last = closers.pop();
  if (!last) return;
  try {
    await last();
  } finally {
    await closeAll(closers);
  }
}

/** Resolves with the name of the signal that stops the run, now or later. */
async function whenAborted(signal: AbortSignal): Promise<string> {
  if (!signal.aborted) await once(signal, 'abort');
  return String(signal.reason);
}

/** Resolves when a start has gone on for so many milliseconds after the signal. */
async function brokenOff(signal: AbortSignal, limitMs: number): Promise<undefined> {
  await whenAborted(signal);
  return sleep(limitMs, undefined, { ref: false });
}

/** The message, and the issues of a refused document. */
function describe(error: unknown): string {
  const issues = error instanceof Failure ? (error.issues ?? []) : [];
  const lines = issues.map(({ path, message }) => `  ${path || '(document)'}: ${message}`);
  return [error instanceof Error ? error.message : String(error), ...lines].join('\n');
}
