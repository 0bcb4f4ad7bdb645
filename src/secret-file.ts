/** Secrets that we make ourselves and keep in a file that only its owner reads. */

import { randomUUID } from 'node:crypto';
import { link, readFile, unlink, writeFile } from 'node:fs/promises';

/** The file's text without the line's end; where there is no file, `make()` is written first, with mode 0600. */
export async function keepSecret(file: string, make: () => string): Promise<string> {
  const read = async (): Promise<string> => (await readFile(file, 'utf8')).trim();
  try {
    return await read();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  const draft = `${file}.${randomUUID()}`;
  await writeFile(draft, `${make()}\n`, { mode: 0o600 });
  try {
    // A link is made whole or not at all: of two processes that start at once, one's secret becomes that of both.
    await link(draft, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    await unlink(draft);
  }
  return read();
}
