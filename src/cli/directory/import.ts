/** `authz import`: imports a directory, with progress, and prints counts and the generated API keys. */

import { existsSync } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Command, Option } from 'commander';
import { type Progress as ImportProgress, type ImportReport, importFile } from '../../directory/import.ts';
import { type Form, formOf } from '../../directory/import-source.ts';
import { Refusal } from '../../errors.ts';
import { withDatabase } from '../terminal/database.ts';
import { declarationHere } from '../terminal/declaration.ts';
import type { JsonOption } from '../terminal/options.ts';
import { escaped, table } from '../terminal/output.ts';
import { createProgress } from '../terminal/progress.ts';
import type { Terminal } from '../terminal/terminal.ts';

const HELP = `
A file that ends in .jsonl or .ndjson has an entry on each line and may be of any size; any other file, and standard input
unless --format says otherwise, is one JSON document of at most 64 MiB.

Example:
  authz import examples/demo.json
  platform-export | authz import - --format jsonl

Attributes and roles are held against what facts.yaml of POLICY_DIR declares. docs/import.md describes all of it.`;

/** Makes the verb `import` of its command. */
export function addImportVerb(command: Command, terminal: Terminal): void {
  command
    .argument('<file>', 'what to load; - reads standard input')
    .addOption(new Option('--format <format>', 'the form of the file').choices(['json', 'jsonl']))
    .option('--changes <file>', 'write all that is changed to this new file, a line of JSON each')
    .option('--json', 'print JSON')
    .addHelpText('after', HELP)
    .action((file: string, options: Options) => importVerb(terminal, file, options));
}

interface Options extends JsonOption {
  readonly format?: Form;
  readonly changes?: string;
}

async function importVerb(terminal: Terminal, file: string, { format, json, changes }: Options): Promise<void> {
  if (changes !== undefined && existsSync(changes))
    throw new Refusal(`${changes} is there already; name a new file for the changes`);
  const progress = createProgress(terminal.stderr);
  const onProgress = ({ step, entries, bytes, ofBytes }: ImportProgress): void => {
    const amount = `${entries.toLocaleString('en')} entries, ${(bytes / 1e6).toFixed(1)} MB`;
    progress.show(`${amount}: ${step}`, ofBytes === undefined ? undefined : bytes / Math.max(ofBytes, 1), step);
  };
  await withDatabase(terminal, async ({ db, peppers, actor }) => {
    const form = format ?? formOf(file);
    const input = file === '-' ? terminal.stdin : undefined;
    const { MAX_KEY_LIFETIME: maxLifetimeMs } = terminal.config();
    const declaration = () => declarationHere(terminal);
    const options = { db, peppers, actor, file, changes, input, form, maxLifetimeMs, declaration, onProgress };
    const report = await importFile(options).finally(progress.clear);
    // Streamed with backpressure: there may be very many generated keys.
    const output = Readable.from(json ? asJson(report) : asText(report));
    await pipeline(output, terminal.stdout, { end: false }).catch((cause: unknown) => {
      if ((cause as NodeJS.ErrnoException).code !== 'EPIPE') throw cause;
      if (report.generatedCount === 0) return;
      const message =
        'everything is loaded, but the output was closed before its end; rotate the new API keys that you miss';
      throw new Refusal(message, cause);
    });
  });
}

async function* asJson({ counts, generated }: ImportReport): AsyncGenerator<string> {
  yield `{\n  "counts": ${JSON.stringify(counts)},\n  "generated": [`;
  let separator = '\n    ';
  for await (const keys of generated) {
    for (const key of keys) {
      yield separator + JSON.stringify(key);
      separator = ',\n    ';
    }
  }
  yield '\n  ]\n}\n';
}

async function* asText({ counts, generated, generatedCount }: ImportReport): AsyncGenerator<string> {
  const rows = Object.entries(counts).map(([kind, count]) => ({
    kind,
    created: String(count.created),
    changed: String(count.changed),
    left: String(count.left),
  }));
  yield `${table(rows)}\n`;
  if (generatedCount === 0) return;
  yield `\nNew API keys, shown this once: ${generatedCount}\n`;
  for await (const keys of generated) yield keys.map(({ id, apiKey }) => `${apiKey}  ${escaped(id)}\n`).join('');
}
