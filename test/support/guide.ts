/** Runs the commands of a guide in docs/ as they stand on the page, in one shell that ends with the first that fails. */

import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { expect } from 'chai';
import { type Outcome, ROOT } from './cli.ts';
import { runShell } from './shell.ts';

/** The commands of the first block of sh behind a heading of a page of docs/. */
export async function commandsOf(page: string, heading: string): Promise<string> {
  const text = `\n${await readFile(path.join(ROOT, 'docs', page), 'utf8')}`;
  const [, commands] = /```sh\n([\s\S]*?)```/.exec(text.slice(text.indexOf(`\n${heading}\n`))) ?? [];
  if (!text.includes(`\n${heading}\n`) || commands === undefined)
    throw new Error(`${page} has no commands under ${heading}`);
  return commands;
}

/** Runs them in `folder`, with no settings but `env`. Fails where one of them does. */
export async function runGuide(
  commands: string,
  folder: string,
  env: Readonly<Record<string, string>>,
): Promise<Outcome> {
  const outcome = await runShell(`set -e\n${commands}`, folder, env);
  expect(outcome.code, `${outcome.stderr}\nafter:\n${outcome.stdout}`).to.equal(0);
  return outcome;
}

/** Expects that a text has what matches these, one behind the other. */
export function expectInOrder(text: string, patterns: readonly RegExp[]): void {
  let rest = text;
  for (const pattern of patterns) {
    const place = rest.search(pattern);
    expect(place, `${pattern} in:\n${text}`).to.be.at.least(0);
    rest = rest.slice(place);
  }
}
