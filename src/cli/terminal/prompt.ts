/** What a command reads from a person: a confirmation, and standard input. */

import { createInterface } from 'node:readline/promises';
import { Refusal } from '../../errors.ts';
import { maskSecrets } from '../../mask.ts';
import { escaped } from './output.ts';
import type { Terminal } from './terminal.ts';

/** Asks before what cannot be undone. @throws Refusal when the answer is no, or there is no terminal and no `--yes` */
export async function confirm({ stdin, stderr }: Terminal, question: string, yes: boolean | undefined): Promise<void> {
  if (yes) return;
  if (!stdin.isTTY || !stderr.isTTY) {
    throw new Refusal(`this cannot be taken back (${question}); add --yes to do it without being asked`);
  }
  const asking = createInterface({ input: stdin, output: stderr });
  const answer = await asking.question(`${escaped(maskSecrets(question))}? [y/N] `);
  asking.close();
  if (!/^y(es)?$/i.test(answer.trim())) throw new Refusal('nothing was changed');
}

/** The whole of standard input, trimmed. */
export async function readStdin({ stdin }: Terminal): Promise<string> {
  let text = '';
  for await (const chunk of stdin.setEncoding('utf8')) text += chunk;
  return text.trim();
}
