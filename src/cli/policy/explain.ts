/** `authz policy explain`: why the policy decides as it does, on facts from a file or of a recorded decision. */

import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import type { Knex } from 'knex';
import { recordShow } from '../../audit/access-log.ts';
import type { DecisionRecord } from '../../audit/columns.ts';
import { getDecision } from '../../audit/query/decisions.ts';
import { explainUnder, frozenBy, type Verdict } from '../../audit/query/explanation.ts';
import { Failure, Refusal } from '../../errors.ts';
import type { Policy } from '../../policy/decide.ts';
import { explain } from '../../policy/explain.ts';
import type { Facts } from '../../policy/facts.ts';
import { printFinding } from '../../policy/folder/findings.ts';
import { parseYaml } from '../../policy/folder/yaml.ts';
import { readWrittenFacts } from '../../policy/recorded-facts.ts';
import type { Schema } from '../../policy/schema.ts';
import { policyOfTime } from '../../rollout/store.ts';
import { withPresentDatabase } from '../terminal/database.ts';
import { explanationText } from '../terminal/explanation.ts';
import { verb } from '../terminal/options.ts';
import { escaped } from '../terminal/output.ts';
import { readStdin } from '../terminal/prompt.ts';
import type { Terminal } from '../terminal/terminal.ts';
import { zoneOption } from '../terminal/zone.ts';
import { explainOnLiveFacts, LIVE_ONLY, type LiveOptions } from './explain-live.ts';
import { folderOf, readSource } from './source.ts';

interface Options extends LiveOptions {
  readonly facts?: string;
}

const HELP = `\
  authz policy explain --key ada-main --action door:open --ip 203.0.113.7 --at 2030-01-31T12:00:00Z --set r.user.status=active
  authz policy explain --facts facts.yaml
  authz policy explain 019ac3f0-6f4e-7c1a-9d3e-0b6f5a1c2d3e

A key is decided on with the facts that are stored now, by the policy of the folder: no decision is recorded, and no point of its rate
limit is used. Below a denial stand the smallest changes of facts that would make it an allow, with the commands that make them.`;

/** Adds the verb `explain`. */
export function addExplainVerb(policy: Command, terminal: Terminal): void {
  zoneOption(
    verb(
      policy,
      'explain [decision-id]',
      'say why: the rows that were tried, and what in them was true or false; and what would turn a denial',
      'explain --key ada-main --action call:create --business bakery',
    ),
  )
    .option('--facts <file>', 'facts as a decision records them, in JSON or YAML; - reads standard input')
    .option('--policy <dir>', 'the policy folder; default: the policy that decided, or for facts and keys POLICY_DIR')
    .option('--key <id>', 'an API key by its id, with its facts as they are stored now')
    .option('--key-stdin', 'the same, of the key in clear on standard input')
    .option('--action <action>', 'of the key: what it is to do, such as call:create')
    .option('--business <id>', 'on this business')
    .option('--ip <address>', "the client's address")
    .option(
      '--at <time>',
      'for another moment: expiry, freezes and schedules; such as 2030-01-31T12:00:00Z or "in 90d"',
    )
    .option(
      '--set <path=value>',
      'as if a fact were so: r.user.status=disabled; may be repeated',
      (text, before) => [...(before ?? []), text],
      undefined as readonly string[] | undefined,
    )
    .addHelpText('after', HELP)
    .action(async (id: string | undefined, options: Options, command: Command) => {
      const ofKey = options.key !== undefined || options.keyStdin !== undefined;
      if ([id, options.facts, options.key, options.keyStdin].filter((way) => way !== undefined).length !== 1)
        command.error('error: name one: a decision, facts with --facts FILE, or a key with --key ID or --key-stdin');
      if (ofKey && options.action === undefined) command.error('error: say with --action what the key is to do');
      const stray = LIVE_ONLY.find((name) => !ofKey && options[name] !== undefined);
      if (stray) command.error(`error: --${stray} goes with --key or --key-stdin`);
      if (ofKey) return explainOnLiveFacts(terminal, options);
      if (id !== undefined) return explainDecision(terminal, id, options);
      const { policy } = await readSource(folderOf(terminal, options.policy));
      const explanation = explain(policy, await readFactsFrom(terminal, policy, options.facts ?? '-'));
      if (options.json) terminal.printJson(explanation);
      else terminal.print(explanationText(explanation));
    });
}

async function readFactsFrom(terminal: Terminal, { schema }: Policy, file: string): Promise<Facts> {
  const text =
    file === '-'
      ? await readStdin(terminal)
      : await readFile(file, 'utf8').catch((cause: Error) => {
          throw new Refusal(`the facts cannot be read (${cause.message}); name a file, or - for standard input`, cause);
        });
  const faults: string[] = [];
  const { value } = parseYaml(file === '-' ? 'standard input' : file, text, (finding) =>
    faults.push(printFinding(finding)),
  );
  if (faults.length > 0) throw new Refusal(['the facts cannot be read:', ...faults].join('\n  '));
  return factsOf(value, schema);
}

function factsOf(value: unknown, schema: Schema): Facts {
  try {
    return readWrittenFacts(value, schema);
  } catch (cause) {
    throw new Refusal(`these are no facts: ${(cause as Error).message}`, cause);
  }
}

async function explainDecision(terminal: Terminal, named: string, options: Options): Promise<void> {
  const { recorded, source, why, frozen } = await withPresentDatabase(terminal, async ({ db, actor }) => {
    const recorded = await getDecision(db, named);
    const source = await sourceFor(terminal, db, recorded, options);
    const frozen = await frozenBy(db, recorded);
    await recordShow(db, actor, recorded.id);
    return { recorded, frozen, ...source };
  });
  const { explanation, verdict, note, failure } = explainUnder(source, recorded);
  if (explanation === null) throw failure ? new Failure('UNAVAILABLE', note, { cause: failure }) : new Refusal(note);
  const { id, effect, code, rule, at, policy: digest } = recorded;
  if (options.json) {
    terminal.printJson({
      recorded: { id, at, effect, code, rule, policy: digest },
      verdict,
      explanation,
      note,
      frozen,
    });
  } else {
    terminal.print(escaped(`decision ${id} of ${at}, recorded as ${effect} ${code} by the row ${rule}`));
    if (verdict === 'another policy' && why !== undefined)
      terminal.print(escaped(`The policy that decided is not at hand: ${why}.`));
    terminal.print(escaped(SAYS[verdict](recorded)));
    for (const each of [note, frozen]) if (each !== null) terminal.print(escaped(each));
    terminal.print(`\n${explanationText(explanation)}`);
  }
  terminal.exitUnless(verdict !== 'CONTRADICTS THE RECORD');
}

/** The policy to explain a decision under: the folder that was named, or the one that decided; where none knows it, POLICY_DIR's. */
async function sourceFor(
  terminal: Terminal,
  db: Knex,
  recorded: DecisionRecord,
  { policy: folder }: Options,
): Promise<{ readonly source: Policy; readonly why?: string }> {
  if (folder !== undefined) return { source: (await readSource(folderOf(terminal, folder))).policy };
  const { policy, why } = await policyOfTime(db, recorded.policy);
  return policy === undefined
    ? { source: (await readSource(folderOf(terminal, undefined))).policy, why }
    : { source: policy };
}

/** Before the explanation. What it means that a record contradicts its policy is in the note. */
const SAYS: Readonly<Record<Verdict, (recorded: DecisionRecord) => string>> = {
  'same policy, same decision': () => 'This is the policy that decided, and it decides the same again.',
  'another policy': ({ policy }) =>
    `It was decided under another policy, ${policy}. What follows is what THIS folder says of the same facts; it may not be why it was so decided.`,
  'CONTRADICTS THE RECORD': () => 'This is the policy that decided, and it says otherwise.',
};
