/**
 * Runs the examples of a page of documentation in a folder of their own. A `csv`, `yaml` or `text` block whose first line names a
 * file is written there, or at its end; a `diff` block replaces lines of it; one that names none must stand in the shipped policy.
 * In what a command prints, `...` stands for anything, and a number for any number, so that an edit of the policy, which
 * changes its counts, need not change the page.
 */

import { appendFile, cp, mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { runShell } from '../support/shell.ts';
import { POLICY_FOLDER, shippedTexts } from './texts.ts';

export interface Block {
  readonly language: string;
  readonly body: string;
}

/** The fenced blocks of a page, in their order. */
export const blocksOf = (page: string): readonly Block[] =>
  [...page.matchAll(/^```(\w*)\n(.*?)^```$/gms)].map(([, language = '', body = '']) => ({ language, body }));

/** A new folder with the shipped policy in `policies`, for the caller to remove. */
export async function newFolder(): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), 'authz-docs-'));
  await cp(POLICY_FOLDER, path.join(folder, 'policies'), { recursive: true });
  return folder;
}

/** Does what a block that is no console says. */
export async function write(folder: string, { language, body }: Block): Promise<void> {
  expect(['csv', 'yaml', 'text', 'diff'], `a block of ${language} would be run by nobody`).to.include(language);
  const named = /^# (?<where>at the end of )?(?<file>[\w./-]+)\n/.exec(body);
  if (!named) {
    expect([...(await shippedTexts()).values()].join('\n')).to.include(body.trim());
    return;
  }
  const file = path.join(folder, named.groups?.['file'] ?? '');
  const rest = body.slice(named[0].length);
  await mkdir(path.dirname(file), { recursive: true });
  if (language === 'diff') await writeFile(file, replaced(await readFile(file, 'utf8'), rest));
  else await (named.groups?.['where'] ? appendFile : writeFile)(file, rest);
}

/** `text` with the lines of `edit` that begin with - replaced by those that begin with +. */
function replaced(text: string, edit: string): string {
  const lines = (sign: string): string =>
    edit
      .split('\n')
      .filter((line) => line.startsWith(sign))
      .map((line) => `${line.slice(1)}\n`)
      .join('');
  const parts = text.split(lines('-'));
  expect(parts, `stands there exactly once: ${lines('-')}`).to.have.lengthOf(2);
  return parts.join(lines('+'));
}

export interface Ran {
  readonly code: number;
  readonly output: string;
}

/** Runs a line as a shell in `folder` does, and gives what it prints to either output. */
export async function shell(folder: string, command: string, env: Record<string, string> = {}): Promise<Ran> {
  const { code, stdout } = await runShell(`exec 2>&1\n${command}`, folder, env);
  return { code: code ?? -1, output: stdout };
}

/** Runs the commands of a console block, in their order, and holds what they print against what it shows. Gives them as they ran. */
export async function runConsole(
  body: string,
  run: (command: string) => Promise<Ran>,
  last = { code: 0 },
): Promise<string[]> {
  const commands = commandsIn(body);
  for (const { command, output } of commands) {
    if (command === 'echo $?') {
      expect(`${last.code}`, body).to.equal(output.join('\n'));
      continue;
    }
    const got = await run(command);
    last.code = got.code;
    expect(got.output, command).to.match(patternOf(output));
  }
  return commands.map(({ command }) => command);
}

/** A console block's commands, each with the lines that it is said to print. */
function commandsIn(body: string): { command: string; output: string[] }[] {
  const commands: { command: string; output: string[] }[] = [];
  for (const line of body.trimEnd().split('\n')) {
    if (line.startsWith('$ ')) commands.push({ command: line.slice(2), output: [] });
    else commands.at(-1)?.output.push(line) ?? expect.fail(`no command before: ${line}`);
  }
  return commands;
}

function patternOf(output: readonly string[]): RegExp {
  const lines = output.map((line) =>
    line === '...'
      ? '(?:.*\\n)*?'
      : `${line
          .split(/(\.\.\.| +|\d+)/)
          .map((part) =>
            part === '...'
              ? '.*'
              : /^ +$/.test(part)
                ? ' +'
                : /^\d+$/.test(part)
                  ? '\\d+'
                  : part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'),
          )
          .join('')}\\n`,
  );
  return new RegExp(`^${lines.join('')}$`);
}
