/** `authz audit export`: writes decisions to a file or to standard output, oldest first. */

import { createWriteStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { Readable, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Command, Option } from 'commander';
import { recordAccess } from '../../audit/access-log.ts';
import { type ExportFormat, exportDecisions, FORMATS, headingOf, type Part } from '../../audit/query/export.ts';
import { decisionRange, rangeOf, type TimeRange } from '../../audit/query/filters.ts';
import { Refusal } from '../../errors.ts';
import { validate } from '../../input/scalars.ts';
import { withPresentDatabase } from '../terminal/database.ts';
import { periodText, readPeriod } from '../terminal/moment.ts';
import { escaped, plural } from '../terminal/output.ts';
import { createProgress } from '../terminal/progress.ts';
import type { Output, Terminal } from '../terminal/terminal.ts';
import { FILTER_HELP, type FilterOptions, filterOptions, namesOf } from './options.ts';
import { wholeFilter } from './whole-filter.ts';

const HELP = `
A line of jsonl is what "audit show --json" prints, without the explanation. In csv, a text that begins like a formula
(= + - @ tab, line break) stands behind an apostrophe, so that no spreadsheet runs it.
${FILTER_HELP}

Example:
  authz audit export --format csv --user ada --on yesterday --out ada.csv`;

export function addExportVerb(audit: Command, terminal: Terminal): void {
  filterOptions(
    audit
      .command('export')
      .description('decisions as a file, oldest first')
      .addOption(new Option('--format <format>', 'the form of the file').choices(FORMATS).default('jsonl'))
      .option('--json', 'the same as --format jsonl')
      .option('--out <file>', 'write to this new file; default: standard output'),
  )
    .addHelpText('after', HELP)
    .action((options: Options) => exportVerb(terminal, options));
}

interface Options extends FilterOptions {
  readonly format: ExportFormat;
  readonly out?: string;
}

async function exportVerb(terminal: Terminal, options: Options): Promise<void> {
  const format = options.json ? 'jsonl' : options.format;
  await withPresentDatabase(terminal, async (opened) => {
    const { db, actor } = opened;
    const period = readPeriod(options, terminal.env);
    const asked = validate(decisionRange, namesOf(options, period));
    const filter = await wholeFilter(terminal, opened, options, 'export', asked);
    const range = rangeOf(filter);
    await recordAccess(db, actor, 'export', { ...filter, from: range.from, format });
    const parts = exportDecisions(db, filter, range, format);
    if (options.out !== undefined) {
      const records = await writeFile(terminal, options.out, headingOf(format), parts, range);
      terminal.stderr.write(
        `${plural(records, 'decision')} written to ${escaped(options.out)}, ${periodText(range, period.clock)}\n`,
      );
      return;
    }
    const show = terminal.stdout.isTTY ? undefined : progressOf(terminal.stderr, range);
    await write(terminal.stdout, headingOf(format), parts, show, { end: false }).catch(
      (cause: NodeJS.ErrnoException) => {
        // EPIPE: the reader closed the pipe (`| head`).
        if (cause.code !== 'EPIPE') throw cause;
      },
    );
  });
}

/** @throws Refusal when the file exists or cannot be opened. A file that fails halfway is removed. */
async function writeFile(
  { stderr }: Terminal,
  file: string,
  heading: string,
  parts: AsyncIterable<Part>,
  range: TimeRange,
): Promise<number> {
  // wx: fail if it exists. 0600: it holds personal data (addresses).
  const out = createWriteStream(file, { flags: 'wx', mode: 0o600 });
  try {
    return await write(out, heading, parts, progressOf(stderr, range), { end: true });
  } catch (error) {
    const { code, syscall } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') throw new Refusal(`${file} is there already; name a new file`);
    if (syscall === 'open') throw new Refusal(`${file} cannot be written (${code}); name another file`);
    await rm(file, { force: true });
    throw error;
  }
}

/** Streams with backpressure, so memory stays flat, and then ends `out` or leaves it open. Returns how many records were written. */
async function write(
  out: Writable,
  heading: string,
  parts: AsyncIterable<Part>,
  progress: Show | undefined,
  { end }: { readonly end: boolean },
): Promise<number> {
  let records = 0;
  let bytes = 0;
  async function* texts(): AsyncGenerator<string> {
    if (heading !== '') yield heading;
    for await (const part of parts) {
      yield part.text;
      records += part.records;
      bytes += part.text.length;
      progress?.show(part.at, records, bytes);
    }
  }
  try {
    await pipeline(Readable.from(texts()), out, { end });
  } finally {
    progress?.clear();
  }
  return records;
}

/** Progress as the share of the time range: the number of records is not known beforehand. */
function progressOf(stderr: Output, { from, to }: TimeRange): Show {
  const progress = createProgress(stderr);
  const start = Date.parse(from);
  const length = Math.max((to === null ? Date.now() : Date.parse(to)) - start, 1);
  return {
    show: (at, records, bytes) =>
      progress.show(
        `${plural(records, 'decision')}, ${(bytes / 1e6).toFixed(1)} MB, at ${at}`,
        (Date.parse(at) - start) / length,
      ),
    clear: progress.clear,
  };
}

interface Show {
  readonly show: (at: string, records: number, bytes: number) => void;
  readonly clear: () => void;
}
