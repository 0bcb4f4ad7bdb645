/** `authz policy check`: the findings of a policy folder; without any it may go live. */

import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Command, Option } from 'commander';
import { Failure, Refusal } from '../../errors.ts';
import type { PolicyTexts } from '../../policy/folder/files.ts';
import { printFinding } from '../../policy/folder/findings.ts';
import { FINDINGS_PAGE, toSarif } from '../../policy/folder/sarif.ts';
import { type Built, buildPolicy } from '../../policy/policy.ts';
import { VERSION } from '../../release.ts';
import { readPolicyFolder } from '../../rollout/folder.ts';
import { type JsonOption, verb } from '../terminal/options.ts';
import { escaped, plural } from '../terminal/output.ts';
import type { Terminal } from '../terminal/terminal.ts';
import { adviceOnStored } from './stored-values.ts';

/** Adds the verb `check`. */
export function addCheckVerb(policy: Command, terminal: Terminal): void {
  verb(
    policy,
    'check [dir]',
    'find all that is wrong with a policy folder; its cases and invariants are part of it (default: POLICY_DIR)',
    'check policies --format sarif > policy.sarif',
  )
    .addOption(new Option('--format <format>', 'how to print').choices(Object.keys(FORMATS)).default('text'))
    .option('--database', 'also count what the database holds of attributes and roles that the folder does not declare')
    .action((dir: string | undefined, options: CheckOptions) => checkVerb(terminal, dir, options));
}

interface CheckOptions extends JsonOption {
  readonly database?: true;
  readonly format: keyof typeof FORMATS;
}

async function checkVerb(
  terminal: Terminal,
  dir: string | undefined,
  { format: asked, json, database }: CheckOptions,
): Promise<void> {
  const format = json ? 'json' : asked;
  const printer = FORMATS[format];
  if (!printer)
    throw new Refusal(`there is no format ${JSON.stringify(format)}; write ${Object.keys(FORMATS).join(', ')}`);
  const folder = dir ?? terminal.config().POLICY_DIR;
  const texts = await readFolder(folder);
  const built = await buildPolicy(texts);
  const stored = database && built.policy ? await adviceOnStored(terminal, texts, built.policy) : [];
  printer(terminal, folder, { ...built, advice: [...built.advice, ...stored] });
  terminal.exitUnless(built.policy !== undefined);
}

/** @throws Failure for exit code 3: a folder that cannot be read is not one with findings (1) */
async function readFolder(folder: string): Promise<PolicyTexts> {
  try {
    return await readPolicyFolder(folder);
  } catch (error) {
    if (error instanceof Refusal) throw new Failure('UNAVAILABLE', error.message, { cause: error });
    throw error;
  }
}

type Printer = (terminal: Terminal, folder: string, built: Built) => void;

const FORMATS = {
  text: ({ print }, folder, { policy, findings, advice }) => {
    for (const finding of findings) print(printFinding(finding));
    for (const finding of advice) print(`advice: ${printFinding(finding)}`);
    if (policy) print(`${escaped(folder)}: nothing found in ${plural(policy.rows.length, 'row')}; ${policy.digest}`);
    else print(`\n${escaped(folder)}: ${plural(findings.length, 'finding')}; ${FINDINGS_PAGE} says what each means`);
  },
  json: ({ printJson }, _, { policy, findings, advice }) =>
    printJson({ digest: policy?.digest ?? null, findings, advice }),
  sarif: ({ printJson }, folder, { findings, advice }) =>
    printJson(toSarif([...findings, ...advice], VERSION, (file) => uriOf(path.join(folder, file)))),
} as const satisfies Record<string, Printer>;

/** Relative to the working directory, as code scanning wants it; a file: URL for what lies elsewhere. */
function uriOf(file: string): string {
  const relative = path.relative(process.cwd(), file);
  if (relative === '' || relative.startsWith('..') || path.isAbsolute(relative)) return pathToFileURL(file).href;
  return relative.split(path.sep).map(encodeURIComponent).join('/');
}
