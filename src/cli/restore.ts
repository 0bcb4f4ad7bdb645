/** `authz restore lost` and `reconcile`: what a restored database has lost, and what it must not allow again. */

import { writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { type Attested, readAttested } from '../audit/checkpoint/attested.ts';
import { Refusal } from '../errors.ts';
import { findLost, type LostReport } from '../restore/lost.ts';
import { prepareReconcile, type Reconciliation, runSteps } from '../restore/reconcile.ts';
import { defaultFiles, readPublicKeys } from './audit/verify.ts';
import { withPresentDatabase } from './terminal/database.ts';
import { collect, type JsonOption, verb } from './terminal/options.ts';
import { escaped, plural, table } from './terminal/output.ts';
import { createProgress } from './terminal/progress.ts';
import type { Terminal } from './terminal/terminal.ts';

interface CheckpointOptions extends JsonOption {
  readonly checkpoints?: string[];
  readonly publicKey?: string;
}

export function addRestoreVerbs(restore: Command, terminal: Terminal): void {
  checkpointOptions(
    verb(
      restore,
      'lost',
      'which decisions and events the checkpoints attest and the database has not; exits 1 where there are any',
      'lost --checkpoints checkpoints.jsonl --public-key audit.pem --keep kept.jsonl',
    ),
  )
    .option('--keep <file>', 'write the checkpoints that the database has to this new file, to go on with')
    .action((options: LostOptions) => lost(terminal, options));

  checkpointOptions(
    verb(
      restore,
      'reconcile',
      'take away again what exported events say was taken away; without --yes it only says what it would do',
      'reconcile --events events.jsonl --checkpoints checkpoints.jsonl --public-key audit.pem --yes',
    ),
  )
    .requiredOption('--events <files>', 'what authz audit events has written', collect)
    .option(
      '--unattested',
      'also go by events that no checkpoint attests: whoever could write the file can have made them up',
    )
    .option('--yes', 'make the changes')
    .addHelpText('after', RECONCILE_HELP)
    .action((options: ReconcileOptions) => reconcile(terminal, options));
}

const RECONCILE_HELP = `
It narrows and never widens: what was given after the moment of the restore is listed, and made again by hand. Where it was interrupted,
run it again. Exits 1 while anything is to be done, or is left out because no checkpoint attests it.`;

const checkpointOptions = (command: Command): Command =>
  command
    .option('--checkpoints <files>', 'all files of checkpoints that there are; default: AUDIT_CHECKPOINTS', collect)
    .option('--public-key <file>', 'PEM of the keys that may have signed; default: those that the checkpoints name');

interface LostOptions extends CheckpointOptions {
  readonly keep?: string;
}

async function lost(terminal: Terminal, { json, keep, ...options }: LostOptions): Promise<void> {
  const lines: { text: string; number: number }[] = [];
  const attested = await attestedOf(terminal, options, (text, checkpoint) => {
    if (keep !== undefined) lines.push({ text, number: checkpoint?.number ?? 0 });
  });
  if (attested.last === undefined)
    throw new Refusal('there is no checkpoint outside the database to go by; name all files with --checkpoints');
  const report = await withPresentDatabase(terminal, ({ db }) => findLost(db, attested));
  if (keep !== undefined) {
    const kept = lines.filter(({ number }) => number <= (report.held?.number ?? 0)).map(({ text }) => `${text}\n`);
    await writeFile(keep, kept.join(''), { flag: 'wx', mode: 0o644 }).catch((error: Error) => {
      throw new Refusal(`${keep} cannot be written (${error.message}); name a new file`);
    });
  }
  if (json) terminal.printJson({ ...report, refused: attested.refused });
  else terminal.print([...attested.refused, ...describeLost(report)].map(escaped).join('\n'));
  terminal.exitUnless(report.decisions === 0 && report.administration === undefined && attested.refused.length === 0);
}

function describeLost({ decisions, chains, administration, held, last }: LostReport): string[] {
  const missing = ({ from, to, by }: { from: number; to: number; by: { number: number; at: string } }): string =>
    `${from} to ${to}, attested by checkpoint ${by.number} of ${by.at}`;
  return [
    held === undefined
      ? 'the database has no checkpoint'
      : `the last checkpoint that the database has is number ${held.number} of ${held.at}`,
    ...chains.map((range) => `lost: of the chain ${range.boot} of ${range.day} the decisions ${missing(range)}`),
    ...(administration ? [`lost: of the chain of administration the events ${missing(administration)}`] : []),
    `${plural(decisions, 'decision')} lost that checkpoints attest; what came after the last of them, of ${last?.at}, cannot be known`,
  ];
}

interface ReconcileOptions extends CheckpointOptions {
  readonly events: string[];
  readonly unattested?: true;
  readonly yes?: true;
}

async function reconcile(terminal: Terminal, options: ReconcileOptions): Promise<void> {
  const { json, events: files, yes } = options;
  const attested = await attestedOf(terminal, options);
  const progress = createProgress(terminal.stderr);
  const prepare = {
    files,
    attested,
    unattested: options.unattested ?? false,
    onProgress: (done: number, of: number) => progress.show(`${done} of ${of} subjects compared`, done / of),
  };
  await withPresentDatabase(terminal, async ({ db, actor }) => {
    const found = await prepareReconcile(db, prepare).finally(progress.clear);
    const { length } = found.steps;
    const done = yes
      ? await runSteps(db, actor, found, (_, count) =>
          progress.show(`${count} of ${length} changes made`, count / length),
        ).finally(progress.clear)
      : 0;
    // What others did meanwhile may ask for more; and what is said to be done is better looked at.
    const left = yes ? (await prepareReconcile(db, prepare).finally(progress.clear)).steps.length : length;
    if (json) terminal.printJson({ ...reportOf(found), done, left, refused: attested.refused });
    else terminal.print([...attested.refused.map(escaped), ...describe(found, done, left, yes ?? false)].join('\n'));
    terminal.exitUnless(left === 0 && found.unattested === 0 && found.exported.gaps.length === 0);
  });
}

const eventOf = ({
  event,
}: {
  readonly event: { readonly seq: number; readonly id: string; readonly at: string };
}) => ({
  seq: event.seq,
  event: event.id,
  at: event.at,
});

const reportOf = ({ exported, steps, lacking, unattested, unknown }: Reconciliation) => ({
  fork: exported.fork,
  own: exported.own,
  lost: exported.lost.length,
  unattested,
  changes: steps.map((step) => ({ ...eventOf(step), action: step.action, kind: step.kind, subject: step.id })),
  lacking: lacking.map((one) => ({ ...eventOf(one), kind: one.kind, subject: one.id, what: one.what })),
  unknown,
});

function describe(found: Reconciliation, done: number, left: number, yes: boolean): string[] {
  const { exported, changes, lacking, unattested, unknown } = { ...found, ...reportOf(found) };
  const { fork, lost, own, first, last } = exported;
  const rows = (list: readonly { seq: number; at: string; subject: string }[], rest: (index: number) => object) =>
    table(list.map(({ seq, at, subject }, index) => ({ event: String(seq), at, ...rest(index), subject })));
  return [
    `the files have the events ${first.seq} to ${last.seq}; the database has them up to ${fork}, lacks ${lost.length}, and has made ${own} since`,
    ...(changes.length > 0
      ? ['', 'to be taken away again:', rows(changes, (at) => ({ change: changes[at]?.action }))]
      : []),
    ...(lacking.length > 0
      ? [
          '',
          'given after the moment of the restore, and gone:',
          rows(lacking, (at) => ({ kind: lacking[at]?.kind, what: lacking[at]?.what })),
        ]
      : []),
    '',
    ...unknown.map(escaped),
    ...(unattested > 0
      ? [
          `${plural(unattested, 'event')} left out, because no checkpoint attests them (name all files and --public-key); where you trust the file, add --unattested`,
        ]
      : []),
    yes
      ? `${plural(done, 'change')} made${left > 0 ? `; ${left} are to be made yet: run it again` : ''}`
      : left > 0
        ? `${plural(left, 'change')} to be made: add --yes`
        : 'nothing to be done',
  ];
}

async function attestedOf(
  terminal: Terminal,
  { checkpoints, publicKey }: CheckpointOptions,
  onLine?: Parameters<typeof readAttested>[2],
): Promise<Attested> {
  const publicKeys = publicKey === undefined ? undefined : readPublicKeys(publicKey);
  return readAttested(checkpoints ?? defaultFiles(terminal) ?? [], publicKeys, onLine);
}
