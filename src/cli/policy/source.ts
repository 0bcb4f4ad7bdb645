/** What the policy verbs share: reading policies (from folders, digests, git revisions), and `--format`. */

import { stat } from 'node:fs/promises';
import path from 'node:path';
import { type Command, Option } from 'commander';
import { Refusal } from '../../errors.ts';
import type { Policy } from '../../policy/decide.ts';
import type { PolicyTexts } from '../../policy/folder/files.ts';
import { printFinding } from '../../policy/folder/findings.ts';
import { compilePolicy } from '../../policy/policy.ts';
import { readPolicyFolder } from '../../rollout/folder.ts';
import { readPolicyRevision } from '../../rollout/revision.ts';
import { findPolicy } from '../../rollout/store.ts';
import { withPresentDatabase } from '../terminal/database.ts';
import { escapedLines } from '../terminal/output.ts';
import type { Terminal } from '../terminal/terminal.ts';

export interface Source {
  readonly policy: Policy;
  readonly texts: PolicyTexts;
}

/** The named folder, or POLICY_DIR. */
export const folderOf = ({ config }: Terminal, named: string | undefined): string =>
  named === undefined ? config().POLICY_DIR : path.resolve(named);

/** The policy of a folder, compiled without proofs or cases. @throws Refusal with the findings */
export const readSource = async (folder: string): Promise<Source> => compile(folder, await readPolicyFolder(folder));

/**
 * The files of a folder, or those of a digest (`sha256:..`) that was live, or else those of `folder` at a git revision.
 * @throws Refusal
 */
export async function readNamedTexts(terminal: Terminal, name: string, folder: string): Promise<PolicyTexts> {
  const entry = await stat(name).catch(() => undefined);
  if (entry?.isDirectory()) return readPolicyFolder(name);
  if (name.startsWith('sha256:'))
    return withPresentDatabase(terminal, async ({ db }) => (await findPolicy(db, name)).texts);
  return readPolicyRevision(folder, name);
}

/** The policy of `readNamedTexts`, compiled without proofs or cases. @throws Refusal with the findings */
export const readNamed = async (terminal: Terminal, name: string, folder: string): Promise<Source> =>
  compile(name, await readNamedTexts(terminal, name, folder));

function compile(what: string, texts: PolicyTexts): Source {
  const { policy, findings } = compilePolicy(texts);
  if (policy) return { policy, texts };
  throw new Refusal(
    [`the policy in ${what} cannot be read; mend it first:`, ...findings.map((one) => `  ${printFinding(one)}`)].join(
      '\n',
    ),
  );
}

export type PrintFormat = 'text' | 'json' | 'markdown';

export interface FormatOptions {
  readonly format: PrintFormat;
  readonly json?: true;
}

/** `--format`, of which `--json` is the short form. */
export const formatOption = (command: Command, formats: readonly PrintFormat[]): Command =>
  command.addOption(new Option('--format <format>', 'how to print').choices(formats).default('text').conflicts('json'));

/** Prints `value` in the chosen format. `text` and `markdown` escape what could hold a line end. */
export function printAs<T>(
  { print, printJson }: Terminal,
  value: T,
  { format, json }: FormatOptions,
  text: (value: T) => string,
  markdown: (value: T) => string = text,
): void {
  if (json || format === 'json') printJson(value);
  else print(escapedLines((format === 'markdown' ? markdown : text)(value)));
}
