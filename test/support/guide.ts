/** Runs the commands of a guide in docs/ as they stand on the page, in one shell that ends with the first that fails. */

import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { ROOT } from './cli.ts';

/** Without npx, which takes its time. */
const AUTHZ = `npx() { shift; "$NODE" "$MAIN" "$@"; }`;

/** The commands of the first block of sh behind a heading of a page of docs/. */
export async function commandsOf(page: string, heading: string): Promise<string> {
  const text = `\n${await readFile(path.join(ROOT, 'docs', page), 'utf8')}`;
  const [, commands] = /```sh\n([\s\S]*?)```/.exec(text.slice(text.indexOf(`\n${heading}\n`))) ?? [];
  if (!text.includes(`\n${heading}\n`) || commands === undefined)
    throw new Error(`${page} has no commands under ${heading}`);
  return commands;
}

/** Runs them in `folder`, with no settings but `env`. @throws where one of them fails */
export const runGuide = (commands: string, folder: string, env: Readonly<Record<string, string>>) =>
  promisify(execFile)('/bin/sh', ['-ec', `${AUTHZ}\n${commands}`], {
    cwd: folder,
    env: { PATH: process.env['PATH'], NODE: process.execPath, MAIN: path.join(ROOT, 'dist/src/main.js'), ...env },
  });

/** Expects that a text has what matches these, one behind the other. */
export function expectInOrder(text: string, patterns: readonly RegExp[]): void {
  let rest = text;
  for (const pattern of patterns) {
    const place = rest.search(pattern);
    expect(place, `${pattern} in:\n${text}`).to.be.at.least(0);
    rest = rest.slice(place);
  }
}
