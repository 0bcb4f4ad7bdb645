/** On what, of what and when figures were taken: without it they say nothing. */

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg } from 'node:os';
import path from 'node:path';

export interface Machine {
  /** UTC, YYYY-MM-DD. */
  readonly date: string;
  /** Of the checkout that is measured; `+` where files differ from it; `unknown` outside of Git. */
  readonly commit: string;
  readonly cores: number;
  readonly processor: string;
  readonly node: string;
  readonly postgres: string;
  /** What else the machine did: processes that wanted a core in the last minute. */
  readonly loadBefore: number;
}

export function describeMachine(checkout: string): Machine {
  const text = readFileSync(path.join(checkout, 'package.json'), 'utf8');
  const { optionalDependencies } = JSON.parse(text) as {
    readonly optionalDependencies: Readonly<Record<string, string>>;
  };
  return {
    date: new Date().toISOString().slice(0, 10),
    commit: commitOf(checkout),
    cores: availableParallelism(),
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    node: process.versions.node,
    postgres: /^[\d.]+/.exec(Object.values(optionalDependencies)[0] ?? '')?.[0] ?? 'unknown',
    loadBefore: Number((loadavg()[0] ?? Number.NaN).toFixed(1)),
  };
}

function commitOf(checkout: string): string {
  const git = (...args: string[]): string =>
    execFileSync('git', ['-C', checkout, ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  try {
    const changed = git('status', '--porcelain', '--untracked-files=no') !== '';
    return git('rev-parse', '--short=7', 'HEAD') + (changed ? '+' : '');
  } catch {
    return 'unknown';
  }
}
