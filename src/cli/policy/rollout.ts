/** `authz policy status | history | show | restore`: which replica runs which policy, and the policies that were live. */

import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Command } from 'commander';
import { Refusal } from '../../errors.ts';
import { isNote, isUnreadFolder, nameInFolder } from '../../policy/folder/files.ts';
import { assemblePolicy } from '../../policy/policy.ts';
import { readPolicyFolder } from '../../rollout/folder.ts';
import { listReplicas, type Replica } from '../../rollout/replicas.ts';
import { findPolicy, listPolicies } from '../../rollout/store.ts';
import { withPresentDatabase } from '../terminal/database.ts';
import { destructiveVerb, type JsonOption, type TableOptions, verb, wideOption } from '../terminal/options.ts';
import { escaped, escapedLines, plural } from '../terminal/output.ts';
import { confirm } from '../terminal/prompt.ts';
import { showList } from '../terminal/records.ts';
import type { Terminal } from '../terminal/terminal.ts';

export function addRolloutVerbs(policy: Command, terminal: Terminal): void {
  wideOption(
    verb(policy, 'status', 'which replicas run which policy since when; exit 1 where they differ', 'status'),
  ).action((options: TableOptions) => status(terminal, options));
  wideOption(verb(policy, 'history', 'every policy that was ever live, the newest first', 'history')).action(
    (options: TableOptions) => history(terminal, options),
  );
  verb(policy, 'show <digest>', 'the files of a policy that was live once', 'show sha256:5ed05654').action(
    (digest: string, options: JsonOption) => showPolicy(terminal, digest, options),
  );
  destructiveVerb(
    policy,
    'restore <digest> <dir>',
    'write the files of a policy that was live once into a folder, in place of what it holds',
    'restore sha256:5ed05654 policies',
  ).action((digest: string, dir: string, options: RestoreOptions) => restore(terminal, digest, dir, options));
}

const status = (terminal: Terminal, format: TableOptions): Promise<void> =>
  withPresentDatabase(terminal, async ({ db }) => {
    const replicas = await listReplicas(db);
    const disagreement = disagreementOf(replicas.filter(({ alive }) => alive));
    if (format.json) terminal.printJson({ agreed: disagreement === undefined, replicas });
    else {
      showList(
        terminal,
        replicas.map((replica) => ({ ...replica, alive: replica.alive ? 'yes' : 'no' })),
        ['id', 'alive', 'policy', 'policySince', 'policyRefusedAt', 'version'],
        format,
      );
      if (disagreement) terminal.print(`\n${disagreement}`);
    }
    terminal.exitUnless(disagreement === undefined);
  });

function disagreementOf(alive: readonly Replica[]): string | undefined {
  if (alive.length === 0) return 'No replica is alive.';
  if (new Set(alive.map(({ policy }) => policy)).size > 1) return 'The replicas do not run one policy.';
  if (alive.some(({ policyRefusedAt }) => policyRefusedAt !== null))
    return 'A replica has refused what its folder holds; GET /policy says why, as does its log.';
  return undefined;
}

const history = (terminal: Terminal, format: TableOptions): Promise<void> =>
  withPresentDatabase(terminal, async ({ db }) =>
    showList(terminal, await listPolicies(db), ['digest', 'firstSeenAt'], format),
  );

const showPolicy = (terminal: Terminal, digest: string, { json }: JsonOption): Promise<void> =>
  withPresentDatabase(terminal, async ({ db }) => {
    const stored = await findPolicy(db, digest);
    if (json) return terminal.printJson({ ...stored, texts: Object.fromEntries(stored.texts) });
    terminal.print(`# ${escaped(stored.digest)}, first seen ${stored.firstSeenAt}`);
    for (const [file, text] of stored.texts) terminal.print(`\n# ${escaped(file)}\n${escapedLines(text.trimEnd())}`);
  });

const CASES = 'cases';

type RestoreOptions = JsonOption & { yes?: true };

const restore = (terminal: Terminal, digest: string, folder: string, { yes, json }: RestoreOptions): Promise<void> =>
  withPresentDatabase(terminal, async ({ db }) => {
    const stored = await findPolicy(db, digest);
    const into = path.resolve(folder);
    const before = await filesIn(into);
    if (before.length > 0)
      await confirm(
        terminal,
        `replace the ${plural(before.length, 'policy file')} in ${into}, cases and invariants too`,
        yes,
      );
    // Parsed only: cases and invariants are checked again when a service takes the folder up.
    const policy = await assemblePolicy(stored.texts).catch((cause: unknown) => {
      throw new Refusal(
        `the stored texts of ${stored.digest} can no longer be read (${(cause as Error).message})`,
        cause,
      );
    });
    if (policy.digest !== stored.digest) throw new Refusal(`the stored texts of ${stored.digest} were altered`);
    // Where it is a link that leads outside, or no folder, what follows would write there.
    if (before.includes(CASES)) await rm(path.join(into, CASES));
    await mkdir(path.join(into, CASES), { recursive: true });
    for (const [file, text] of stored.texts) await replace(path.join(into, file), text);
    for (const file of before) if (file !== CASES && !stored.texts.has(file)) await rm(path.join(into, file));
    if (json) terminal.printJson({ digest: stored.digest, folder: into, files: [...stored.texts.keys()] });
    else
      terminal.print(
        `${escaped(into)} holds ${stored.digest} again; a service that reads it takes it up within seconds`,
      );
  });

/** The files and links of a policy folder, without notes: each is either of the policy, or would keep it from going live. */
async function filesIn(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => []);
  const listed = names.length === 0 ? [] : [...(await readPolicyFolder(folder)).keys()];
  return listed.filter((name) => !isUnreadFolder(name) && !isNote(name)).map(nameInFolder);
}

/** Atomically, by rename, so that a service that watches the folder never reads half a file. */
async function replace(file: string, text: string): Promise<void> {
  const draft = path.join(path.dirname(file), `.${path.basename(file)}.draft`);
  await writeFile(draft, text);
  await rename(draft, file);
}
