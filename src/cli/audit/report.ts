/** `authz audit report`: a month, or another time, as one HTML file for whoever signs. */

import { randomBytes } from 'node:crypto';
import { link, open, rename, rm } from 'node:fs/promises';
import type { Command } from 'commander';
import type { Knex } from 'knex';
import { recordAccess } from '../../audit/access-log.ts';
import { gatherFigures, type Span } from '../../audit/report/figures.ts';
import { digestOf, type Report, reportPage } from '../../audit/report/page.ts';
import { verifyLog } from '../../audit/verify/verify.ts';
import type { Cursors } from '../../db/page.ts';
import { Refusal } from '../../errors.ts';
import { type HygieneFinding, listHygieneFindings, thresholdsOf } from '../../key-hygiene/findings.ts';
import { HYGIENE_KINDS } from '../../key-hygiene/rules.ts';
import { NOTHING_DECLARED } from '../../policy/declared/declaration.ts';
import { listReplicas } from '../../rollout/replicas.ts';
import { withPresentDatabase } from '../terminal/database.ts';
import { type PeriodOptions, periodOptions, readPeriod } from '../terminal/moment.ts';
import { collect, type JsonOption, verb } from '../terminal/options.ts';
import { escaped } from '../terminal/output.ts';
import { createProgress } from '../terminal/progress.ts';
import type { Terminal } from '../terminal/terminal.ts';
import { printMoment } from '../terminal/zone.ts';
import { defaultFiles, readPublicKeys, verifyProgress } from './verify.ts';

interface Options extends JsonOption, PeriodOptions {
  readonly month?: string;
  readonly out?: string;
  readonly force?: true;
  readonly checkpoints?: string[];
  readonly publicKey?: string;
}

/** Adds the verb to `authz audit`. */
export function addReportVerb(audit: Command, terminal: Terminal): void {
  periodOptions(
    verb(
      audit,
      'report',
      'what was asked, denied and changed, and whether the log verifies, as a file for whoever signs; exits 1 where it does not',
      'report --month 2030-01 --public-key audit.pem',
    )
      .option('--month <month>', 'of this month, such as 2030-01, in place of --from, --to and --on')
      .option('--out <file>', 'write to this file; default: authz-report-MONTH.html, or the days')
      .option('--force', 'write over a file that is there')
      .option('--checkpoints <files>', 'all files of checkpoints that there are; default: AUDIT_CHECKPOINTS', collect)
      .option('--public-key <file>', 'PEM of the keys that may have signed; default: those that the checkpoints name'),
    'none: name a month, or a time',
  ).action((options: Options) => report(terminal, options));
}

async function report(terminal: Terminal, options: Options): Promise<void> {
  const { span, title, name, unfinished } = timeOf(terminal, options);
  const file = options.out ?? `authz-report-${name}.html`;
  const publicKeys = options.publicKey === undefined ? undefined : readPublicKeys(options.publicKey);
  const made = await withPresentDatabase(terminal, async ({ db, actor, cursors }): Promise<Report> => {
    await recordAccess(db, actor, 'report', span);
    const { onProgress, clear } = verifyProgress(terminal);
    const days = { from: span.from.slice(0, 10), to: new Date(Date.parse(span.to) - 1).toISOString().slice(0, 10) };
    const files = options.checkpoints ?? defaultFiles(terminal);
    const verification = await verifyLog(db, { ...days, files, publicKeys, onProgress }).finally(clear);
    const progress = createProgress(terminal.stderr);
    const figures = await gatherFigures(db, span, progress.show).finally(progress.clear);
    return {
      ...{ title, unfinished, figures, verification, digest: digestOf(figures) },
      findings: await findingsOf(terminal, db, cursors),
      replicas: await listReplicas(db),
      madeAt: new Date().toISOString(),
      madeBy: actor.id,
    };
  });
  if (options.json) terminal.printJson(made);
  else {
    await writeWhole(file, reportPage(made), options.force === true);
    terminal.print(`${escaped(title)}: written to ${escaped(file)}, for your eyes only`);
    if (!made.verification.clean) terminal.print('The log does not verify; authz audit verify says where.');
  }
  terminal.exitUnless(made.verification.clean);
}

interface Time {
  readonly span: Span;
  readonly title: string;
  /** Of the file. */
  readonly name: string;
  readonly unfinished: boolean;
}

/** @throws Refusal: no time is named, or one that is still to come */
function timeOf({ env }: Terminal, { month, from, to, on, zone }: Options): Time {
  if ((month === undefined) === (from === undefined && on === undefined))
    throw new Refusal('name the time of the report: --month 2030-01, or --from and --to, or --on');
  const period = readPeriod(month === undefined ? { from, to, on, zone } : { ...monthOf(month), zone }, env);
  const now = new Date(period.now).toISOString();
  const unfinished = period.to === undefined || period.to > now;
  const span = { from: period.from ?? now, to: unfinished ? now : (period.to ?? now) };
  const [first, last] = [span.from, new Date(Date.parse(span.to) - 1)].map((at) =>
    printMoment(at instanceof Date ? at.getTime() : at, period.clock).slice(0, 10),
  );
  const name = month ?? (first === last ? `${first}` : `${first}-to-${last}`);
  return { span, name, title: `Authorization report, ${month ?? name.replaceAll('-to-', ' to ')}`, unfinished };
}

function monthOf(month: string): { from: string; to: string } {
  const [, year = '', number = ''] = /^(\d{4})-(0[1-9]|1[0-2])$/.exec(month) ?? [];
  if (year === '') throw new Refusal(`${JSON.stringify(month)} is no month; write one such as 2030-01`);
  const next = new Date(Date.UTC(Number(year), Number(number), 1)).toISOString().slice(0, 10);
  return { from: `${month}-01`, to: next };
}

/** Those that need no policy folder, which an auditor may not have. */
async function findingsOf({ config }: Terminal, db: Knex, cursors: Cursors): Promise<HygieneFinding[]> {
  const thresholds = thresholdsOf(config().FINDINGS_THRESHOLDS, {});
  const found: HygieneFinding[] = [];
  for (const [finding, kind] of Object.entries(HYGIENE_KINDS)) {
    if ('needsDeclared' in kind && kind.needsDeclared !== undefined) continue;
    const filter = { finding: finding as keyof typeof HYGIENE_KINDS, thresholds, declaration: NOTHING_DECLARED };
    found.push(...(await listHygieneFindings(db, filter, { limit: 50 }, cursors)).items);
  }
  return found;
}

/** Whole or not at all: beside it first. It holds personal data, so it is its owner's alone. @throws Refusal: it is there, or cannot be */
async function writeWhole(file: string, text: string, force: boolean): Promise<void> {
  const beside = `${file}.${randomBytes(4).toString('hex')}.part`;
  try {
    const handle = await open(beside, 'wx', 0o600);
    try {
      await handle.writeFile(text);
      await handle.sync();
    } finally {
      await handle.close();
    }
    // A link fails where the file is there; a rename writes over it.
    await (force ? rename(beside, file) : link(beside, file));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST')
      throw new Refusal(`${file} is there already; name another with --out, or write over it with --force`);
    throw new Refusal(`${file} cannot be written (${code}); name another file with --out`, error);
  } finally {
    await rm(beside, { force: true });
  }
}
