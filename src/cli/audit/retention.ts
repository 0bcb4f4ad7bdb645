/** `authz audit prune` and `erase`, for the owner of the log: remove old days, or personal data; what is left verifies. */

import type { Command } from 'commander';
import { embeddedSigningKey } from '../../audit/checkpoint/open.ts';
import { loadSigner, type Signer } from '../../audit/format/signatures.ts';
import { erasePersonalData, type Subject } from '../../audit/retention/erase.ts';
import { requireOwner } from '../../audit/retention/owner.ts';
import { LEAST_KEPT_DAYS, type PrunePlan, planPrune, pruneDay } from '../../audit/retention/prune.ts';
import { Refusal } from '../../errors.ts';
import { idSchema, validate } from '../../input/scalars.ts';
import { withPresentDatabase } from '../terminal/database.ts';
import { collect, destructiveVerb, type JsonOption } from '../terminal/options.ts';
import { escaped, plural } from '../terminal/output.ts';
import { confirm } from '../terminal/prompt.ts';
import type { Terminal } from '../terminal/terminal.ts';
import { defaultFiles, readPublicKeys, verifyProgress } from './verify.ts';

interface PruneOptions extends JsonOption {
  readonly keep: string;
  readonly checkpoints?: string[];
  readonly publicKey?: string;
  readonly yes?: true;
}

/** Adds the verbs to `authz audit`. */
export function addRetentionVerbs(audit: Command, terminal: Terminal): void {
  destructiveVerb(
    audit,
    'prune',
    'drop the records of whole days that verify clean and are covered by checkpoints outside the database',
    'prune --keep 400d --public-key audit.pem',
  )
    .requiredOption('--keep <days>', `how many days stay, such as 400d; at least ${LEAST_KEPT_DAYS}d`)
    .option('--checkpoints <files>', 'all files of checkpoints that there are; default: AUDIT_CHECKPOINTS', collect)
    .option('--public-key <file>', 'PEM of the keys that may have signed; default: those that the checkpoints name')
    .action((options: PruneOptions) => prune(terminal, options));
  destructiveVerb(
    audit,
    'erase',
    'erase ip and user agent from all records of a user or a key, without breaking the log',
    'erase --user ada --yes',
  )
    .option('--user <id>', 'whose records')
    .option('--key <id>', 'of which key')
    .action((options: EraseOptions) => erase(terminal, options));
}

async function prune(terminal: Terminal, { keep, json, yes, ...options }: PruneOptions): Promise<void> {
  const keepDays = daysOf(keep);
  const publicKeys = options.publicKey === undefined ? undefined : readPublicKeys(options.publicKey);
  const files = options.checkpoints ?? defaultFiles(terminal) ?? [];
  const file = files.at(-1);
  if (file === undefined)
    throw new Refusal(
      'only what checkpoints outside the database cover is dropped; name their files with --checkpoints',
    );
  const signer = await signerOf(terminal);
  const done: { day: string; records: number }[] = [];
  const plan = await withPresentDatabase(terminal, async ({ db, actor }): Promise<PrunePlan> => {
    await requireOwner(db);
    const progress = verifyProgress(terminal);
    const made = await planPrune(db, { keepDays, files, publicKeys, signer, onProgress: progress.onProgress }).finally(
      progress.clear,
    );
    if (made.ready.length > 0) await confirm(terminal, questionOf(made), yes);
    for (const day of made.ready) {
      await pruneDay(db, actor, day, { signer, file });
      done.push({ day: day.day, records: day.records });
      if (!json) terminal.print(`${day.day}: ${plural(day.records, 'record')} dropped`);
    }
    return made;
  });
  if (json) terminal.printJson({ pruned: done, refused: plan.refused });
  else {
    for (const { day, why } of plan.refused) terminal.print(`${day} stays: ${escaped(why)}`);
    if (plan.ready.length + plan.refused.length === 0) terminal.print(`no day is older than ${keep}`);
  }
  terminal.exitUnless(plan.refused.length === 0);
}

function daysOf(keep: string): number {
  const days = Number(/^(\d{1,5})d$/.exec(keep)?.[1] ?? 0);
  if (days >= LEAST_KEPT_DAYS) return days;
  throw new Refusal(
    `--keep is a number of days such as 400d, and at least ${LEAST_KEPT_DAYS}d: younger ones may still be written to`,
  );
}

/** The key that signs the checkpoints. @throws Refusal */
function signerOf({ config }: Terminal): Promise<Signer> {
  const { AUDIT_SIGNING_KEY, DATABASE_URL, DATA_DIR } = config();
  const key = AUDIT_SIGNING_KEY ?? (DATABASE_URL === undefined ? embeddedSigningKey(DATA_DIR) : undefined);
  if (key === undefined)
    throw new Refusal(
      'AUDIT_SIGNING_KEY is not set: what is dropped is signed with the key that makes the checkpoints',
    );
  return loadSigner(key);
}

function questionOf({ ready }: PrunePlan): string {
  const records = ready.reduce((sum, day) => sum + day.records, 0);
  const [first, last] = [ready[0]?.day, ready.at(-1)?.day];
  const days = ready.length === 1 ? `${first}` : `${ready.length} days from ${first} to ${last}`;
  return `Drop the ${plural(records, 'record')} of ${days} for good`;
}

interface EraseOptions extends JsonOption {
  readonly user?: string;
  readonly key?: string;
  readonly yes?: true;
}

async function erase(terminal: Terminal, { user, key, yes, json }: EraseOptions): Promise<void> {
  if ((user === undefined) === (key === undefined)) throw new Refusal('name one subject, with --user or with --key');
  const subject: Subject = { kind: user === undefined ? 'key' : 'user', id: validate(idSchema, user ?? key) };
  const { kind, id } = subject;
  const records = await withPresentDatabase(terminal, async ({ db, actor }) => {
    await requireOwner(db);
    await confirm(terminal, `Erase ip and user agent from all records of the ${kind} ${id}`, yes);
    return erasePersonalData(db, actor, subject);
  });
  if (json) terminal.printJson({ ...subject, erased: records });
  else if (records > 0)
    terminal.print(`the personal data of ${plural(records, 'record')} of the ${kind} ${id} have been erased`);
  else terminal.print(`no record of the ${kind} ${id} has personal data: nothing was erased`);
}
