#!/usr/bin/env node
/** The binary. It is here before the build is, so that npx finds it either way, and says what is missing. */

import { existsSync } from 'node:fs';

const main = new URL('../dist/src/main.js', import.meta.url);
if (existsSync(main)) await import(main.href);
else {
  process.stderr.write('authz: this checkout is not built yet; run make build\n');
  process.exitCode = 3;
}
