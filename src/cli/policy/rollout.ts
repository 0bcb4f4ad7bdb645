/** `authz policy status | history | show | restore`: which replica runs which policy, and the policies that were live. */

import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Command } from 'commander';
import { Refusal } from '../../errors.ts';
import { assemblePolicy } from '../../policy/policy.ts';
import { readPolicyFolder } from '../../rollout/folder.ts';
import { listReplicas, type Replica } from '../../rollout/replicas.ts';
import { findPolicy, listPolicies } from '../../rollout/store.ts';
import { withDatabase } from '../terminal/database.ts';
import { destructiveVerb, type Format, verb } from '../terminal/options.ts';
import { escaped, escapedLines, print, printJson } from '../terminal/output.ts';
import { confirm } from '../terminal/prompt.ts';
import { showList } from '../terminal/records.ts';

export function addRolloutVerbs(policy: Command): void {
  verb(policy, 'status', 'which replicas run which policy since when; exit 1 where they differ', 'status').action(
    status,
  );
  verb(policy, 'history', 'every policy that was ever live, the newest first', 'history').action(history);
  verb(policy, 'show <digest>', 'the files of a policy that was live once', 'show sha256:5ed05654').action(showPolicy);
  destructiveVerb(
    policy,
    'restore <digest> <dir>',
    'write the files of a policy that was live once into a folder, in place of what it holds',
    'restore sha256:5ed05654 policies',
  ).action(restore);
}

const status = (format: Format): Promise<void> =>
  withDatabase(async ({ db }) => {
    const replicas = await listReplicas(db);
    const disagreement = disagreementOf(replicas.filter(({ alive }) => alive));
    if (format.json) printJson({ agreed: disagreement === undefined, replicas });
    else {
      showList(
        replicas.map((replica) => ({ ...replica, alive: replica.alive ? 'yes' : 'no' })),
        ['id', 'alive', 'policy', 'policySince', 'policyRefusedAt', 'version'],
        format,
      );
      if (disagreement) print(`\n${disagreement}`);
    }
    if (disagreement) process.exitCode = 1;
  });

function disagreementOf(alive: readonly Replica[]): string | undefined {
  if (alive.length === 0) return 'No replica is alive.';
  if (new Set(alive.map(({ policy }) => policy)).size > 1) return 'The replicas do not run one policy.';
  if (alive.some(({ policyRefusedAt }) => policyRefusedAt !== null))
    return 'A replica has refused what its folder holds; GET /policy says why, as does its log.';
  return undefined;
}

const history = (format: Format): Promise<void> =>
  withDatabase(async ({ db }) => showList(await listPolicies(db), ['digest', 'firstSeenAt'], format));

const showPolicy = (digest: string, { json }: Format): Promise<void> =>
  withDatabase(async ({ db }) => {
    const stored = await findPolicy(db, digest);
    if (json) return printJson({ ...stored, texts: Object.fromEntries(stored.texts) });
    print(`# ${stored.digest}, first seen ${stored.firstSeenAt}`);
    for (const [file, text] of stored.texts) print(`\n# ${escaped(file)}\n${escapedLines(text.trimEnd())}`);
  });

const restore = (digest: string, folder: string, { yes, json }: Format & { yes?: true }): Promise<void> =>
  withDatabase(async ({ db }) => {
    const stored = await findPolicy(db, digest);
    const into = path.resolve(folder);
    const before = await filesIn(into);
    if (before.length > 0)
      await confirm(`replace the ${before.length} policy files in ${into}, cases and invariants too`, yes);
    // Parsed only: cases and invariants are checked again when a service takes the folder up.
    const policy = await assemblePolicy(stored.texts).catch((cause: unknown) => {
      throw new Refusal(
        `the stored texts of ${stored.digest} can no longer be read (${(cause as Error).message})`,
        cause,
      );
    });
    if (policy.digest !== stored.digest) throw new Refusal(`the stored texts of ${stored.digest} were altered`);
    await mkdir(path.join(into, 'cases'), { recursive: true });
    for (const [file, text] of stored.texts) await replace(path.join(into, file), text);
    for (const file of before) if (!stored.texts.has(file)) await rm(path.join(into, file));
    if (json) printJson({ digest: stored.digest, folder: into, files: [...stored.texts.keys()] });
    else print(`${escaped(into)} holds ${stored.digest} again; a service that reads it takes it up within seconds`);
  });

async function filesIn(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => []);
  return names.length === 0 ? [] : [...(await readPolicyFolder(folder)).keys()];
}

/** Atomically, by rename, so that a service that watches the folder never reads half a file. */
async function replace(file: string, text: string): Promise<void> {
  const draft = path.join(path.dirname(file), `.${path.basename(file)}.draft`);
  await writeFile(draft, text);
  await rename(draft, file);
}
