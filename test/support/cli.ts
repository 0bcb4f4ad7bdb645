/** Runs `authz`: as a function, or from the build as a process. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { runCli } from '../../src/run-cli.ts';

export const ROOT = path.join(import.meta.dirname, '..', '..');

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** All of the environment that a run gets without asking for it. */
export const ENVIRONMENT = { PATH: process.env['PATH'], HOME: process.env['HOME'] };

/** Runs `authz ...args` to its end in this process, with no settings in its environment but `env`. */
export async function authz(
  args: readonly string[],
  env: Record<string, string> = {},
  input = '',
  signal = new AbortController().signal,
): Promise<Outcome> {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const output = Promise.all([text(stdout), text(stderr)]);
  const code = await runCli(args, { env, stdin: Readable.from([Buffer.from(input)]), stdout, stderr, signal });
  stdout.end();
  stderr.end();
  const [out, err] = await output;
  return { code, stdout: out, stderr: err };
}

/** As `authz`, from the build and as a process: for what only a process has, such as its descriptors and its environment. */
export async function authzProcess(
  args: readonly string[],
  env: Record<string, string> = {},
  input = '',
  root = ROOT,
): Promise<Outcome> {
  const child = startAuthz(args, env, root);
  child.stdin?.end(input);
  const output = { stdout: '', stderr: '' };
  child.stdout?.on('data', (chunk) => (output.stdout += chunk));
  child.stderr?.on('data', (chunk) => (output.stderr += chunk));
  const [code] = await once(child, 'close');
  return { code, ...output };
}

const running = new Set<ChildProcess>();
// What a failed test leaves behind would go on working beside all later tests.
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** Starts `authz ...args` from the build, or that of another version in `root`. It is killed at the latest when this process exits. */
export function startAuthz(args: readonly string[], env: Record<string, string> = {}, root = ROOT): ChildProcess {
  const child = spawn(process.execPath, [path.join(root, 'dist', 'src', 'main.js'), ...args], {
    env: { ...ENVIRONMENT, ...env },
    stdio: 'pipe',
  });
  running.add(child);
  child.once('exit', () => running.delete(child));
  return child;
}

/** The output of a process so far, once it contains `text`. Fails when the process ends before. */
export async function outputWith(child: ChildProcess, text: string): Promise<string> {
  let output = '';
  return new Promise((resolve, reject) => {
    const look = (chunk: Buffer): void => {
      output += chunk;
      if (output.includes(text)) resolve(output);
    };
    child.stdout?.on('data', look);
    child.stderr?.on('data', look);
    child.once('close', () => reject(new Error(`ended without ${JSON.stringify(text)}:\n${output}`)));
  });
}
