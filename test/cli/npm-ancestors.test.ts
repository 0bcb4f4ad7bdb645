/**
 * Which npm a process follows: through trees of real processes, in which a script with npm's title stands in for npm, which would take a
 * second to start each time. test/cli/started-by.test.ts has the real one.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Writable } from 'node:stream';
import { expect } from 'chai';
import { ENVIRONMENT, outputWith, ROOT } from '../support/cli.ts';

const NODE = process.execPath;

describe('the npm that a process follows', () => {
  let folder: string;
  const started: ChildProcess[] = [];

  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'lifecycle-npm-'));
    const module = path.join(ROOT, 'dist', 'src', 'npm-ancestors.js');
    // Says what it follows, and when one of those ends; and ends with descriptor 3, at the latest.
    await writeFile(
      path.join(folder, 'child.mjs'),
      `import { Socket } from 'node:net';
       import { npmAncestors, whenOneEnds } from ${JSON.stringify(module)};
       const found = npmAncestors(process.env);
       whenOneEnds(found, () => { console.log('one has ended'); process.exit(); });
       console.log('follows ' + JSON.stringify(found.map(({ pid }) => pid)) + '.');
       new Socket({ fd: 3 }).resume().on('end', () => process.exit());`,
    );
    // Starts its other words as a command, and says who it is.
    await writeFile(
      path.join(folder, 'npm.mjs'),
      `import { spawn } from 'node:child_process';
       process.title = process.argv[2];
       console.log(process.argv[2].split(' ')[0] + ' is ' + process.pid + '.');
       const child = spawn(process.argv[3], process.argv.slice(4), { stdio: ['ignore', 'inherit', 'inherit', 3] });
       child.on('exit', () => process.exit());`,
    );
  });
  afterEach(() => {
    for (const { stdio } of started.splice(0)) (stdio[3] as Writable).end();
  });
  after(() => rm(folder, { recursive: true }));

  const titled = (title: string, ...command: string[]) => [NODE, path.join(folder, 'npm.mjs'), title, ...command];
  const child = () => [NODE, path.join(folder, 'child.mjs')];
  /** Not its last command: a shell may replace itself by that. */
  const shell = (command: readonly string[], name = 'sh') => [name, '-c', `${command.join(' ')}; true`];
  const quoted = (command: readonly string[]) => command.map((word) => `'${word}'`);

  function start([file = '', ...args]: readonly string[], env: Record<string, string> = { npm_execpath: '/npm' }) {
    const top = spawn(file, args, { env: { ...ENVIRONMENT, ...env }, stdio: ['ignore', 'pipe', 'inherit', 'pipe'] });
    started.push(top);
    return top;
  }

  /** What it follows, by the names that the titled ones give themselves. */
  async function followed(command: readonly string[], env?: Record<string, string>): Promise<string[]> {
    const output = await outputWith(start(command, env), '].');
    const names = new Map([...output.matchAll(/(\w+) is (\d+)\./g)].map(([, name = '', pid]) => [Number(pid), name]));
    return (JSON.parse(/follows (.*)\./.exec(output)?.[1] ?? '') as number[]).map((pid) => names.get(pid) ?? 'unknown');
  }

  it('is one that runs it by a shell, or that the shell has made room for', async () => {
    expect(await followed(titled('npm exec authz serve', ...shell(child())))).to.deep.equal(['npm']);
    expect(await followed(titled('npm exec authz serve', ...child()))).to.deep.equal(['npm']);
    expect(await followed(titled('npm', ...shell(child(), 'bash')))).to.deep.equal(['npm']);
  });

  it('is each of several, where a script runs npm', async () => {
    const inner = titled('npm run inner', ...shell(child()));
    expect(await followed(titled('npm run outer', ...shell(quoted(inner))))).to.deep.equal(['npm', 'npm']);
  });

  it('is none that is not npm, or that has something else between', async () => {
    expect(await followed(titled('pnpm exec authz', ...shell(child())))).to.deep.equal([]);
    expect(await followed(titled('npmx', ...shell(child())))).to.deep.equal([]);
    expect(await followed(shell(child()))).to.deep.equal([]);
    expect(await followed(child())).to.deep.equal([]);
    const between = titled('supervisor', ...child());
    expect(await followed(titled('npm test', ...shell(quoted(between))))).to.deep.equal([]);
    // A shell that reads a script is somebody's program.
    const script = path.join(folder, 'start.sh');
    await writeFile(script, `${child().join(' ')}; true\n`);
    expect(await followed(titled('npm start', 'sh', script))).to.deep.equal([]);
    // Detached on purpose.
    expect(await followed(titled('npm start', ...shell(['setsid', '--wait', ...child()])))).to.deep.equal([]);
    // Whom npm has started knows it.
    expect(await followed(titled('npm start', ...shell(child())), {})).to.deep.equal([]);
  });

  it('is heard of when it ends, however that is, and nobody else', async () => {
    const top = start(titled('npm exec authz serve', ...shell(child())));
    const ended = outputWith(top, 'one has ended');
    await outputWith(top, '].');
    // Of this nobody is told, and the shell lives on.
    top.kill('SIGKILL');
    await ended;
    const outer = start(titled('npm run outer', ...shell(quoted(titled('npm run inner', ...shell(child()))))));
    const heard = outputWith(outer, 'one has ended');
    await outputWith(outer, '].');
    outer.kill('SIGTERM');
    await heard;
    await once(outer, 'close');
  });
});
