/** Generated secrets, kept in files of mode 0600. */

import { randomUUID } from 'node:crypto';
import { link, readFile, unlink, writeFile } from 'node:fs/promises';

/** The secret in the file, trimmed; if there is no file, one with the secret `make()` is created first. */
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
    // link() is atomic and does not overwrite: of two processes that start at once, both use the secret of the first.
    await link(draft, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    await unlink(draft);
  }
  return read();
}
