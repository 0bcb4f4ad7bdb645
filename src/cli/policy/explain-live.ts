/** `authz policy explain --key`: what would be decided on the facts that are stored now, why, and what would turn a denial. */

import { Refusal } from '../../errors.ts';
import { validate } from '../../input/scalars.ts';
import { explainLive, type LiveExplanation, type Way } from '../../what-if/explain-live.ts';
import { explainBody } from '../../what-if/question.ts';
import { valuesText } from '../../what-if/wanted.ts';
import { withDatabase } from '../terminal/database.ts';
import { explanationText } from '../terminal/explanation.ts';
import { readTime } from '../terminal/moment.ts';
import type { JsonOption } from '../terminal/options.ts';
import { escaped } from '../terminal/output.ts';
import { readStdin } from '../terminal/prompt.ts';
import type { Terminal } from '../terminal/terminal.ts';
import type { ZoneOption } from '../terminal/zone.ts';
import { folderOf, readSource } from './source.ts';

export interface LiveOptions extends JsonOption, ZoneOption {
  readonly policy?: string;
  readonly key?: string;
  readonly keyStdin?: true;
  readonly action?: string;
  readonly business?: string;
  readonly ip?: string;
  readonly at?: string;
  readonly set?: readonly string[];
}

/** The options that go with `--key` and `--key-stdin` only. */
export const LIVE_ONLY = ['action', 'business', 'ip', 'at', 'set'] as const satisfies readonly (keyof LiveOptions)[];

export async function explainOnLiveFacts(terminal: Terminal, options: LiveOptions): Promise<void> {
  const { policy } = await readSource(folderOf(terminal, options.policy));
  const question = validate(explainBody, {
    ...(options.key === undefined ? { apiKey: await readStdin(terminal) } : { apiKeyId: options.key }),
    action: options.action,
    businessId: options.business,
    ...(options.ip !== undefined && { context: { ip: options.ip } }),
    ...(options.at !== undefined && { at: readTime(options.at, options, terminal.env) }),
    set: Object.fromEntries((options.set ?? []).map(readSet)),
  });
  const explained = await withDatabase(terminal, ({ db, peppers, actor }) =>
    explainLive({ db, peppers, policy }, actor, question),
  );
  if (options.json) terminal.printJson(explained);
  else terminal.print(liveText(explained));
}

/** `r.user.plan=pro`. @throws Refusal */
function readSet(text: string): readonly [string, string] {
  const at = text.indexOf('=');
  if (at < 1)
    throw new Refusal(`a fact is set as path=value, such as --set r.limit.exceeded=true, not ${JSON.stringify(text)}`);
  return [text.slice(0, at), text.slice(at + 1)];
}

function liveText(explained: LiveExplanation): string {
  const { at, status, message, freezes, decision, smallestChanges, note } = explained;
  const ways = smallestChanges.flatMap((way, index) => wayLines(way, index + 1));
  const lines = [
    '',
    `For ${at}. The client would be answered ${status}: ${message}`,
    ...freezes.map(({ id, until, reason }) => `Frozen by ${id} (until ${until}: ${reason})`),
    ...(decision.effect === 'allow' ? [] : ['', ...(ways.length > 0 ? [HEADING, ...ways] : [])]),
    ...(note === null ? [] : [note]),
  ];
  return [explanationText(explained), ...lines.map(escaped)].join('\n');
}

const HEADING = 'Smallest changes, any of which would make it an allow:';

function wayLines({ changes, advice }: Way, number: number): string[] {
  const facts = changes.map(({ path, from, to }) => `${path} ${valueText(from)} -> ${valuesText(to)}`);
  return [
    `  ${number}. ${facts.join(', ')}`,
    ...advice.flatMap(({ says, command }) => [
      `     ${says}${command === null ? '' : ':'}`,
      ...(command === null ? [] : [`       ${command}`]),
    ]),
  ];
}

const valueText = (value: string | boolean): string => (typeof value === 'string' ? `'${value}'` : String(value));
