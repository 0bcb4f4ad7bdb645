/**
 * One run of the CLI: the environment, streams and stop signal that it was given, and its exit code. Verbs get it as an
 * argument and use none of the process's own, so that runs share a process (tests), each with its own output.
 */

import type { Readable, Writable } from 'node:stream';
import { type Config, loadConfig } from '../../config.ts';
import type { Actor } from '../../db/mutate.ts';
import { maskSecrets } from '../../mask.ts';
import { operatorActor, statedBy } from './operator.ts';
import { jsonText } from './output.ts';
import { type Screen, screenOf } from './screen.ts';

export type Input = Readable & { readonly isTTY?: boolean };
export type Output = Writable & { readonly isTTY?: boolean; readonly columns?: number };

/** What a run is given. */
export interface RunInput {
  readonly env: NodeJS.ProcessEnv;
  readonly stdin: Input;
  readonly stdout: Output;
  readonly stderr: Output;
  /** Aborted by SIGINT or SIGTERM, with the signal's name as its reason. Read by verbs that end by it, and by no other. */
  readonly signal: AbortSignal;
}

export interface Terminal extends RunInput {
  /** The settings, read from `env` when first asked for. @throws Refusal, as loadConfig */
  readonly config: () => Config;
  /** Takes the name that `--as` states. @throws Refusal: it is none */
  readonly actAs: (name: string) => void;
  /** Who runs this, by `--as`, else AUTHZ_ACTOR, else the system. @throws Refusal, as loadConfig */
  readonly operator: () => Actor;
  /** What standard output can show. */
  readonly screen: () => Screen;
  /**
   * Writes text and a line end: what in it comes from outside has passed `escaped`, `escapedLines` or `table`. Whatever has the
   * form of an API key or caller token is masked.
   */
  readonly print: (text: string) => void;
  /** As `print`, of a text that shows a new API key or caller token, this once. */
  readonly printSecret: (text: string) => void;
  readonly printJson: (value: unknown) => void;
  /** Makes the exit code 1 unless `clean`: a verb that looks for something has found it. */
  readonly exitUnless: (clean: boolean) => void;
  /** 0 or 1. */
  readonly exitCode: () => number;
}

export function createTerminal(input: RunInput): Terminal {
  let config: Config | undefined;
  let exitCode = 0;
  let stated: string | undefined;
  const { env, stdin, stdout, stderr } = input;
  const printSecret = (text: string): void => void stdout.write(`${text}\n`);
  const print = (text: string): void => printSecret(maskSecrets(text));
  const settings = (): Config => {
    config ??= loadConfig(env);
    return config;
  };
  return {
    env,
    stdin,
    stdout,
    stderr,
    get signal() {
      return input.signal;
    },
    config: settings,
    actAs: (name) => {
      stated = statedBy(name);
    },
    screen: () => screenOf(input),
    operator: () => operatorActor(stated ?? settings().AUTHZ_ACTOR),
    print,
    printSecret,
    printJson: (value) => print(jsonText(value)),
    exitUnless: (clean) => {
      if (!clean) exitCode = 1;
    },
    exitCode: () => exitCode,
  };
}
