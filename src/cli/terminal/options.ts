/** Verbs and options that commands share, and how option values are parsed. */

import type { Command } from 'commander';
import { Refusal } from '../../errors.ts';

/** The options of every verb. */
export interface JsonOption {
  readonly json?: true;
}

/** Of those that print tables. */
export interface TableOptions extends JsonOption {
  readonly wide?: true | undefined;
}

/** Adds `--wide`. */
export const wideOption = (command: Command): Command =>
  command.option('--wide', 'all columns in full, however narrow the terminal is');

/** Adds a verb with what all of them have: a description, `--json`, an example. */
export const verb = (parent: Command, usage: string, description: string, example: string): Command =>
  parent
    .command(usage)
    .description(description)
    .option('--json', 'print JSON')
    .addHelpText('after', `\nExample:\n  authz ${parent.name() === 'authz' ? '' : `${parent.name()} `}${example}`);

/** As `verb`, with `--yes`, for what cannot be undone: see `confirm`. */
export const destructiveVerb = (parent: Command, usage: string, description: string, example: string): Command =>
  verb(parent, usage, description, example).option('--yes', 'do not ask; needed where there is no terminal');

/** Adds `--limit` and `--cursor`: keyset pages. */
export const pageOptions = (command: Command): Command =>
  command.option('--limit <n>', 'how many, 1 to 200', '50').option('--cursor <cursor>', 'where the page before ended');

/** As pageOptions, of pages that are tables. */
export const listOptions = (command: Command): Command => wideOption(pageOptions(command));

/** `100/60`: requests per seconds. @throws Refusal */
export function rateLimitOption(text: string | undefined): { requests: number; windowSeconds: number } | undefined {
  if (text === undefined) return undefined;
  const [, requests, windowSeconds] = /^(\d{1,10})\/(\d{1,5})$/.exec(text) ?? [];
  if (requests === undefined || windowSeconds === undefined)
    throw new Refusal('a rate limit is written requests/seconds, such as 600/60');
  return { requests: Number(requests), windowSeconds: Number(windowSeconds) };
}

/** Commander's parser of a list option: values separated by commas, and the option may be repeated. */
export const collect = (text: string, before: string[] | false | undefined): string[] => [
  ...(before || []),
  ...text.split(',').map((part) => part.trim()),
];

/** Decimal digits only: `Number` would take '' for 0, and 0x10. @throws Refusal */
export function wholeNumber(text: string): number {
  if (!/^\d{1,10}$/.test(text)) throw new Refusal(`${JSON.stringify(text)} is no whole number`);
  return Number(text);
}
