/** `authz audit verify`: verifies the hash chains and checkpoints of the decision log. */

import { existsSync, readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { embeddedCheckpoints } from '../../audit/checkpoint/open.ts';
import { parsePublicKeys } from '../../audit/format/signatures.ts';
import { type VerifyProgress, type VerifyReport, verifyLog } from '../../audit/verify/verify.ts';
import { withPresentDatabase } from '../terminal/database.ts';
import { type NamedPeriod, type PeriodOptions, periodOptions, readPeriod } from '../terminal/moment.ts';
import { collect, type JsonOption, verb } from '../terminal/options.ts';
import { escaped, plural } from '../terminal/output.ts';
import { createProgress } from '../terminal/progress.ts';
import type { Terminal } from '../terminal/terminal.ts';

interface Options extends JsonOption, PeriodOptions {
  readonly checkpoints?: string[];
  readonly publicKey?: string;
}

export function addVerifyVerb(audit: Command, terminal: Terminal): void {
  periodOptions(
    verb(
      audit,
      'verify',
      'name the first record that was altered, removed, reordered, inserted or truncated; exits 1 on any',
      'verify --checkpoints /var/log/authz/checkpoints.jsonl --public-key audit.pem',
    ),
    'the first day',
  )
    .option('--checkpoints <files>', 'all files of checkpoints that there are; default: AUDIT_CHECKPOINTS', collect)
    .option('--public-key <file>', 'PEM of the keys that may have signed; default: those that the checkpoints name')
    .action((options: Options) => verify(terminal, options));
}

async function verify(terminal: Terminal, { json, ...options }: Options): Promise<void> {
  const days = daysOf(terminal, options);
  const publicKeys = options.publicKey === undefined ? undefined : readPublicKeys(options.publicKey);
  const files = options.checkpoints ?? defaultFiles(terminal);
  const { onProgress, clear } = verifyProgress(terminal);
  const report = await withPresentDatabase(terminal, ({ db }) =>
    verifyLog(db, { ...days, files, publicKeys, onProgress }),
  )
    .catch((cause: Error) => {
      // Exit code 3, also for a Refusal: 1 means that the log was altered.
      throw new Error(cause.message, { cause });
    })
    .finally(clear);
  if (json) terminal.printJson(report);
  else terminal.print(describe(report));
  terminal.exitUnless(report.clean);
}

/** The UTC days that the period touches: chains are of whole days. @throws Error, for exit code 3 */
function daysOf({ env }: Terminal, { from, to, on, zone }: Options): Pick<NamedPeriod, 'from' | 'to'> {
  try {
    const period = readPeriod({ from, to, on, zone }, env);
    const last = period.to === undefined ? undefined : new Date(Date.parse(period.to) - 1).toISOString();
    return { from: period.from?.slice(0, 10), to: last?.slice(0, 10) };
  } catch (cause) {
    throw new Error((cause as Error).message, { cause });
  }
}

/** @throws Error, for exit code 3: a key that cannot be read is no fault of the log */
export function readPublicKeys(file: string): ReadonlySet<string> {
  try {
    return parsePublicKeys(readFileSync(file, 'utf8'), file);
  } catch (error) {
    throw new Error(`the public key cannot be read: ${(error as Error).message}`, { cause: error });
  }
}

/** AUDIT_CHECKPOINTS, or the embedded file once there is one; if it was deleted, its checkpoints are faults by the database. */
export function defaultFiles({ config }: Terminal): string[] | undefined {
  const { AUDIT_CHECKPOINTS, DATABASE_URL, DATA_DIR } = config();
  if (AUDIT_CHECKPOINTS !== undefined) return [AUDIT_CHECKPOINTS];
  if (DATABASE_URL !== undefined) return undefined;
  return [embeddedCheckpoints(DATA_DIR)].filter((file) => existsSync(file));
}

const TRUST = {
  given: 'by the key that you gave',
  file: 'by keys that their own file names: they are as trustworthy as that file; give --public-key',
  database: 'by keys that the database itself names, which prove little; give --public-key and --checkpoints',
} as const;

function describe(report: VerifyReport): string {
  const { records, chains, erased, pruned, checkpoints, uncovered, findings, found, clean } = report;
  const { count, external, keysFrom, torn } = checkpoints;
  const { clockSteps, administration } = report;
  const { events, unchained } = administration;
  const open = `${plural(uncovered, 'record')} and ${plural(administration.uncovered, 'event')} of administration`;
  const lines = [
    ...findings.map(({ code, message }, index) => `${index === 0 ? 'FIRST ' : ''}${code}: ${message}`),
    ...(found > findings.length ? [`and ${found - findings.length} more`] : []),
    ...(found > 0 ? [''] : []),
    `read: ${plural(records, 'record')} in ${plural(chains, 'chain')}; the personal data of ${erased} of them have been erased`,
    `read: ${plural(events, 'event')} of administration${unchained > 0 ? `; ${unchained} of reads that the next checkpoint takes into their chain` : ''}`,
    ...(pruned > 0 ? [`the records of ${plural(pruned, 'day')} were pruned, as signed statements say`] : []),
    count === 0 ? 'there are no checkpoints' : `${plural(count, 'checkpoint')}, signed ${TRUST[keysFrom]}`,
    ...torn.map((where) => `${where} was begun and never finished, as a crash or a full disk leaves a line`),
    ...clockSteps.map(
      ({ checkpoint, from, to }) =>
        `the clock of the database was set back, from ${from} or later to ${to} or earlier, before ${checkpoint === null ? 'now' : `checkpoint ${checkpoint}`}: the times of records in between were not compared with checkpoints`,
    ),
    external === null
      ? `no checkpoint outside the database was read: a superuser can have rewritten all of ${open}`
      : `the last checkpoint outside the database is number ${external.number} of ${external.at}; ${open} came after it, which a superuser can have rewritten`,
    clean ? 'clean: the log is what was recorded' : `${found} found: the log is not what was recorded`,
  ];
  return lines.map(escaped).join('\n');
}

/** A progress line for `verifyLog`. */
export function verifyProgress({ stderr }: Terminal): {
  onProgress: (progress: VerifyProgress) => void;
  clear: () => void;
} {
  const progress = createProgress(stderr);
  return {
    onProgress: ({ checkpoints, records, ofRecords }) =>
      progress.show(`${checkpoints} checkpoints, ${records} of ${ofRecords} records`, records / Math.max(ofRecords, 1)),
    clear: progress.clear,
  };
}
