/** Reads a policy folder into texts. What does not belong there is listed, so that the check names it as the service does. */

import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { type PolicyTexts, unreadFolder } from '../../../src/policy/folder/files.ts';

const CASES = 'cases';

/** @throws an error of the file system */
export async function readFolder(folder: string): Promise<PolicyTexts> {
  const texts = new Map<string, string>();
  const read = async (within: string): Promise<void> => {
    const entries = await readdir(path.join(folder, within), { withFileTypes: true });
    for (const entry of entries.filter((one) => !one.name.startsWith('.')).sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const name = path.posix.join(within, entry.name);
      if (name === CASES && entry.isDirectory()) await read(CASES);
      else if (entry.isDirectory()) texts.set(unreadFolder(name), '');
      else texts.set(name, await readFile(path.join(folder, name), 'utf8'));
    }
  };
  await read('');
  return texts;
}
