/** `authz policy diff`: all situations that an edit decides otherwise, or the proof that there are none. */

import type { Command } from 'commander';
import {
  type AskedChange,
  type Change,
  type CodeChange,
  type Difference,
  diffOf,
  Undecided,
} from '../../policy/analysis/diff.ts';
import type { Facts } from '../../policy/facts.ts';
import { factsTexts } from '../terminal/explanation.ts';
import { verb } from '../terminal/options.ts';
import { plural } from '../terminal/output.ts';
import { createProgress } from '../terminal/progress.ts';
import type { Terminal } from '../terminal/terminal.ts';
import { type FormatOptions, folderOf, formatOption, printAs, readNamed, type Source } from './source.ts';

interface Options extends FormatOptions {
  readonly policy?: string;
}

const HELP = `
OLD and NEW are folders, digests that were live (sha256:..), or git revisions of the policy folder (main, HEAD~1). Exits with 0 where the two are proved
equivalent, 1 where they differ, 3 where it cannot be said.`;

/** Adds the verb `diff`. */
export function addDiffVerb(policy: Command, terminal: Terminal): void {
  formatOption(
    verb(policy, 'diff <old> <new>', 'show every situation that an edit decides otherwise', 'diff HEAD policies'),
    ['text', 'json', 'markdown'],
  )
    .option('--policy <dir>', 'the folder whose revisions are meant; default: POLICY_DIR')
    .addHelpText('after', HELP)
    .action(async (older: string, newer: string, options: Options) => {
      const folder = folderOf(terminal, options.policy);
      const [before, after] = [
        await readOne(terminal, 'old', older, folder),
        await readOne(terminal, 'new', newer, folder),
      ];
      const difference = compare(terminal, before, after);
      printAs(terminal, difference, options, text, markdown);
      terminal.exitUnless(difference.equivalent);
    });
}

/** @throws Error, for exit code 3: a policy that cannot be read is no difference (1) */
async function readOne(terminal: Terminal, which: 'old' | 'new', name: string, folder: string): Promise<Source> {
  try {
    return await readNamed(terminal, name, folder);
  } catch (cause) {
    throw new Error(`nothing is compared, because of the ${which} policy: ${(cause as Error).message}`, { cause });
  }
}

/** The difference, with progress. @throws Error where one of the two leaves a situation undecided */
export function compare({ stderr }: Terminal, before: Source, after: Source): Difference {
  const progress = createProgress(stderr);
  try {
    return diffOf(before.policy, after.policy, (done, of) =>
      progress.show(`${done} of ${of} classes of situations`, done / Math.max(of, 1)),
    );
  } catch (cause) {
    if (!(cause instanceof Undecided)) throw cause;
    const example = situationText(cause.facts);
    throw new Error(`nothing is compared, because of the ${cause.which} policy: ${cause.message}, where ${example}`, {
      cause,
    });
  } finally {
    progress.clear();
  }
}

const answer = ({ effect, code }: Change['old']): string => `${effect} ${code}`;
/** Facts on one line. */
const situationText = (facts: Facts): string => factsTexts(facts).join(' ');

const classes = (count: number): string => plural(count, 'class of situations', 'classes of situations');

const conclusionOf = ({ equivalent, situations, changes, codes, asked, names, gateway }: Difference): string => {
  const all = `all ${situations} classes of situations that the two tell apart are accounted for`;
  if (equivalent) return `equivalent: the same effect and code everywhere (${all})`;
  const refuses = asked.length > 0 ? 'questions are refused that were not' : '';
  const renames = names.length > 0 ? 'names.yaml maps otherwise' : '';
  const reroutes = gateway.length > 0 ? 'gateway.yaml routes otherwise' : '';
  if (changes.length > 0) {
    const parts = [
      `${plural(changes.length, 'change')} of answers`,
      codes.length > 0 ? 'codes.yaml' : '',
      refuses,
      renames,
      reroutes,
    ];
    return `different: ${parts.filter(Boolean).join(', and ')} (${all})`;
  }
  const but = [codes.length > 0 ? 'a code means something else' : '', refuses, renames, reroutes]
    .filter(Boolean)
    .join(', and ');
  return `different: the same effect and code everywhere, but ${but} (${all})`;
};

const REFUSED = 'a question that states what is not declared any more is refused (400)';
const valuesText = (values: AskedChange['new']): string => values?.join(', ') ?? 'none';

const codeText = (code: CodeChange['old']): string =>
  code === null
    ? 'none'
    : `${code.status} ${JSON.stringify(code.message)}${code.reason ? `, reason: ${code.reason}` : ''}`;

function text(difference: Difference): string {
  const { changes, ruleChanges, codes, asked, names, gateway } = difference;
  return [
    conclusionOf(difference),
    ...changes.map((change) => changeText(`${answer(change.old)} -> ${answer(change.new)}`, change)),
    ...ruleChanges.map((change) => changeText(`still ${answer(change.new)}, by another row`, change)),
    ...codes.map((one) => `codes.yaml ${one.code}\n  - ${codeText(one.old)}\n  + ${codeText(one.new)}`),
    ...asked.map((one) => `asked ${one.name}: ${REFUSED}\n  - ${valuesText(one.old)}\n  + ${valuesText(one.new)}`),
    ...names.map((one) => `names.yaml ${one.name}\n  - ${one.old ?? 'none'}\n  + ${one.new ?? 'none'}`),
    ...gateway.map((one) => `gateway.yaml ${one.name}\n  - ${one.old ?? 'none'}\n  + ${one.new ?? 'none'}`),
  ].join('\n\n');
}

function changeText(heading: string, { when, rules, situations, example }: Change): string {
  return [
    `${heading} (${classes(situations)})`,
    ...when.map((condition, index) => `  ${index === 0 ? 'when' : '  or'} ${condition}`),
    ...rules.map((pair) => `  rows ${pair.old} -> ${pair.new}`),
    `  for example ${situationText(example.facts)}`,
  ].join('\n');
}

/** The difference for a report. */
export function markdown(difference: Difference): string {
  const { changes, ruleChanges, codes, asked, names, gateway } = difference;
  return [
    `**Policy difference.** ${conclusionOf(difference)}`,
    ...changes.map((change) => changeMarkdown(`${answer(change.old)} → ${answer(change.new)}`, change)),
    ...ruleChanges.map((change) => changeMarkdown(`still ${answer(change.new)}, by another row`, change)),
    ...codes.map((one) => `### codes.yaml: ${one.code}\n\n- old: ${codeText(one.old)}\n- new: ${codeText(one.new)}`),
    ...asked.map(
      (one) =>
        `### asked: ${one.name}\n\nHere ${REFUSED}.\n\n- old: ${valuesText(one.old)}\n- new: ${valuesText(one.new)}`,
    ),
    ...names.map(
      (one) => `### names.yaml: \`${one.name}\`\n\n- old: ${one.old ?? 'none'}\n- new: ${one.new ?? 'none'}`,
    ),
    ...gateway.map(
      (one) => `### gateway.yaml: \`${one.name}\`\n\n- old: ${one.old ?? 'none'}\n- new: ${one.new ?? 'none'}`,
    ),
  ].join('\n\n');
}

function changeMarkdown(heading: string, { when, rules, situations, example }: Change): string {
  return [
    `### ${heading}`,
    '',
    `${classes(situations)}, when`,
    '',
    ...when.map((condition) => `- \`${condition}\``),
    '',
    `Rows: ${rules.map((pair) => `\`${pair.old}\` → \`${pair.new}\``).join(', ')}.`,
    `For example: \`${situationText(example.facts)}\``,
  ].join('\n');
}
