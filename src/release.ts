/** Where the package lies, and which version it is. */

import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';

/** The package's root: above src/, or above dist/src/ in the build. */
const PARENT = path.dirname(import.meta.dirname);
export const ROOT = existsSync(path.join(PARENT, 'package.json')) ? PARENT : path.dirname(PARENT);

export const VERSION = (JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as { version: string })
  .version;
