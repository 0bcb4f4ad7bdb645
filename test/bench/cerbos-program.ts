/**
 * The program of Cerbos, which the section `cerbos` fetches for itself: 32 MB, 95 MB unpacked, are too much for everybody's `npm ci`.
 * It is kept in node_modules/.cache, and held to the digest that is written here.
 */

import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { ROOT } from '../../src/release.ts';

/** Apache-2.0. */
export const CERBOS = { name: '@cerbos/cerbos-linux-x64', version: '0.55.0' };
const SHA512 = 'eLZUycJfaQWK0XTRgH/Oz2E3XiNCUavDd1LhzFxhUpZ3s5CuQqmqG327ta0On8YOTxuZO/19cG4kvfC22r03/Q==';
const CACHE = path.join(ROOT, 'node_modules', '.cache', `cerbos-${CERBOS.version}`);
const PROGRAM = path.join(CACHE, 'package', 'cerbos-linux-x64');

/** Whether it need not be fetched. */
export const hasCerbos = (): boolean => existsSync(PROGRAM);

/**
 * The path of the program, which is fetched where it has not been.
 *
 * @throws Error that says why it cannot be had
 */
export async function cerbosProgram(): Promise<string> {
  if (hasCerbos()) return PROGRAM;
  if (`${process.platform}-${process.arch}` !== 'linux-x64') throw new Error('its package is for Linux on x64 alone');
  await mkdir(path.dirname(CACHE), { recursive: true });
  const folder = await mkdtemp(`${CACHE}-`);
  try {
    const run = promisify(execFile);
    const pack = ['pack', `${CERBOS.name}@${CERBOS.version}`, '--json', '--pack-destination', folder];
    const { stdout } = await run('npm', pack, { cwd: folder });
    const [{ filename }] = JSON.parse(stdout) as [{ readonly filename: string }];
    const file = path.join(folder, filename);
    const digest = createHash('sha512')
      .update(await readFile(file))
      .digest('base64');
    if (digest !== SHA512)
      throw new Error(`the package has the digest ${digest}, and not the one of cerbos-program.ts`);
    await run('tar', ['-xzf', file, '-C', folder]);
    await rm(file);
    await rename(folder, CACHE);
    return PROGRAM;
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}
