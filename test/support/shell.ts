/**
 * Runs commands of the documents as they stand on the page, in a real shell in which `authz` and `npx authz` are a function that has
 * this process run the verb: starting a process for each would take most of the time of these tests.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { authz, ENVIRONMENT, type Outcome } from './cli.ts';

/**
 * A call's words go to this process by descriptor 3, and its exit code comes back by 4; its environment, and what it reads and prints, is in
 * files of $CALL. All of standard input is taken before, so `authz` is not for the body of a loop that reads it.
 */
const FUNCTIONS = `
authz() {
  cat > "$CALL/stdin"
  env -0 > "$CALL/environment"
  printf '%s\\0' "$#" "$PWD" "$@" >&3
  read -r AUTHZ_CODE <&4
  cat "$CALL/stdout"
  cat "$CALL/stderr" >&2
  return "$AUTHZ_CODE"
}
npx() { shift; authz "$@"; }
`;

/** Runs a script to its end in `folder`, with no settings but `env`. */
export async function runShell(
  script: string,
  folder: string,
  env: Readonly<Record<string, string>> = {},
): Promise<Outcome> {
  const calls = await mkdtemp(path.join(tmpdir(), 'authz-calls-'));
  try {
    const child = spawn('/bin/sh', ['-c', `${FUNCTIONS}\n${script}`], {
      cwd: folder,
      env: { ...ENVIRONMENT, ...env, CALL: calls },
      stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'pipe'],
    });
    const [, , , requests, replies] = child.stdio;
    const [stdout, stderr, [code]] = await Promise.all([
      text(child.stdout as Readable),
      text(child.stderr as Readable),
      once(child, 'close'),
      answer(requests as Readable, replies as Writable, calls),
    ]);
    return { code, stdout, stderr };
  } finally {
    await rm(calls, { recursive: true });
  }
}

/** Runs what the shell asks for, call by call, until it has ended. */
async function answer(requests: Readable, replies: Writable, calls: string): Promise<void> {
  // A shell that has failed reads no reply.
  replies.on('error', () => undefined);
  let words: string[] = [];
  let rest = '';
  for await (const chunk of requests.setEncoding('utf8')) {
    const parts = (rest + chunk).split('\0');
    rest = parts.pop() ?? '';
    words.push(...parts);
    const [count = NaN, folder = '', ...args] = words;
    if (args.length !== Number(count)) continue;
    words = [];
    const input = await readFile(path.join(calls, 'stdin'), 'utf8');
    const env = variablesOf(await readFile(path.join(calls, 'environment'), 'utf8'));
    const { code, stdout, stderr } = await inFolder(folder, () => authz(args, env, input));
    await writeFile(path.join(calls, 'stdout'), stdout);
    await writeFile(path.join(calls, 'stderr'), stderr);
    replies.write(`${code}\n`);
  }
}

/** Of what `env -0` prints. */
const variablesOf = (printed: string): Record<string, string> =>
  Object.fromEntries(
    printed
      .split('\0')
      .filter((line) => line !== '')
      .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  );

let turn: Promise<unknown> = Promise.resolve();

/** Runs with `folder` as the working folder of this process, one at a time. */
function inFolder<T>(folder: string, run: () => Promise<T>): Promise<T> {
  const mine = turn.then(async () => {
    const before = process.cwd();
    process.chdir(folder);
    return run().finally(() => process.chdir(before));
  });
  turn = mine.catch(() => undefined);
  return mine;
}
