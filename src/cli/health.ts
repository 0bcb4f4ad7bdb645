/**
 * `authz health`: asks the running service how it is, for probes that run a command (HEALTHCHECK of an image, exec of Kubernetes). It needs
 * the settings of where the service listens and no others, opens no database and writes no file.
 */

import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { Command } from 'commander';
import { loadSettings } from '../config.ts';
import { Refusal } from '../errors.ts';
import { type JsonOption, wholeNumber } from './terminal/options.ts';
import { escaped } from './terminal/output.ts';
import type { Terminal } from './terminal/terminal.ts';

interface Options extends JsonOption {
  readonly ready?: boolean;
  readonly url?: string;
  readonly timeoutMs: string;
}

/** Milliseconds. A timer of Node takes 25 days at most, and no probe waits for so long. */
const LONGEST = 600_000;

/** Characters, more than an answer of the service has. */
const MOST = 65_536;

/** Defines the verb. */
export function addHealthVerb(health: Command, terminal: Terminal): void {
  health
    .option('--ready', 'may it be sent requests? (/readyz; without it: is the process up? /healthz)')
    .option(
      '--url <url>',
      'where it listens, such as http://127.0.0.1:8080; default: by HOST and PORT, or ADMIN_HOST and ADMIN_PORT',
    )
    .option('--timeout-ms <n>', 'milliseconds that it may take to answer', '5000')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExit code 1: it is not, or there was no answer.\n\nExample:\n  authz health --ready')
    .action((options: Options) => healthVerb(terminal, options));
}

/** What `--json` prints. */
interface Health {
  readonly url: string;
  readonly healthy: boolean;
  /** The HTTP status; null: there was no answer. */
  readonly status: number | null;
  readonly message: string;
  /** What /readyz says of each thing that it looks at; null: nothing. */
  readonly checks: Readonly<Record<string, unknown>> | null;
}

async function healthVerb(terminal: Terminal, { ready = false, url, timeoutMs, json }: Options): Promise<void> {
  const place = url === undefined ? ours(terminal, ready) : given(url);
  const health = await ask(new URL(ready ? '/readyz' : '/healthz', place), limitOf(timeoutMs));
  if (json) terminal.printJson(health);
  else terminal.print(textOf(health));
  terminal.exitUnless(health.healthy);
}

/** @throws Refusal */
function limitOf(text: string): number {
  const limit = wholeNumber(text);
  if (limit < 1 || limit > LONGEST) throw new Refusal(`--timeout-ms takes 1 to ${LONGEST}`);
  return limit;
}

function textOf({ url, status, message, checks }: Health): string {
  const failed = Object.entries(checks ?? {}).filter(([, value]) => value === false && status !== 200);
  return escaped(
    `${url}: ${status ?? 'no answer'}: ${[message, ...failed.map(([name]) => `${name}: false`)].join(' ')}`,
  );
}

/** @throws Refusal */
function given(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !/^https?:$/.test(url.protocol) || url.href !== `${url.origin}/`)
    throw new Refusal('--url takes http://host:port or https://host:port, without a user, a path or a query');
  return url;
}

/** Where this machine reaches what has the same settings: who is to say whether it is ready, where ADMIN_PORT has that. @throws Refusal */
function ours({ env }: Terminal, ready: boolean): URL {
  const { HOST, PORT, ADMIN_HOST = HOST, ADMIN_PORT } = loadSettings(env, ['HOST', 'PORT', 'ADMIN_HOST', 'ADMIN_PORT']);
  const [name, port, from] =
    ready && ADMIN_PORT !== undefined
      ? (['ADMIN_PORT', ADMIN_PORT, ADMIN_HOST] as const)
      : (['PORT', PORT, HOST] as const);
  if (port === 0) throw new Refusal(`${name} is 0, any free one; say with --url where the service listens`);
  // What listens on every address is reached on that of the machine itself.
  const host = from === '0.0.0.0' ? '127.0.0.1' : from === '::' ? '::1' : from;
  return new URL(`http://${host.includes(':') ? `[${host}]` : host}:${port}`);
}

const NOBODY = 'ECONNREFUSED: nothing listens there. Is the service up? --url names another place.';

async function ask(url: URL, limitMs: number): Promise<Health> {
  const asked = { url: url.href, healthy: false, status: null, checks: null } as const;
  try {
    const { status, body } = await get(url, limitMs);
    const { Success, Message, Data } = replyOf(body);
    if (typeof Success !== 'boolean' || typeof Message !== 'string')
      return { ...asked, status, message: 'Something else answers there: look at HOST and PORT.' };
    return { ...asked, healthy: status === 200 && Success, status, message: Message, checks: Data ?? null };
  } catch (error) {
    const { name, code, message } = error as NodeJS.ErrnoException;
    if (name === 'TimeoutError') return { ...asked, message: `nothing within ${limitMs} ms` };
    return { ...asked, message: code === 'ECONNREFUSED' ? NOBODY : (code ?? message) };
  }
}

interface Reply {
  readonly Success?: unknown;
  readonly Message?: unknown;
  readonly Data?: Readonly<Record<string, unknown>>;
}

function replyOf(body: string): Reply {
  try {
    return (JSON.parse(body) ?? {}) as Reply;
  } catch {
    return {};
  }
}

function get(url: URL, limitMs: number): Promise<{ readonly status: number; readonly body: string }> {
  const request = url.protocol === 'https:' ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(limitMs);
    const fail = (error: Error): void => reject(signal.aborted ? (signal.reason as Error) : error);
    const asking = request(url, { agent: false, signal }, (response) => {
      let body = '';
      response
        .setEncoding('utf8')
        .on('data', (chunk: string) => {
          body += chunk;
          if (body.length > MOST) response.destroy();
        })
        .on('error', fail)
        .on('close', () => resolve({ status: response.statusCode ?? 0, body }));
    });
    // Else Node closes the connection, without a response or an error, and the probe would end by nothing being left to do.
    asking.on('upgrade', (response, socket) => {
      socket.destroy();
      resolve({ status: response.statusCode ?? 0, body: '' });
    });
    asking.on('error', fail).end();
  });
}
