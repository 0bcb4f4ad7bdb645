/**
 * The examples of docs/policies.md, run from the top of the page to its end in a folder of their own. A `csv` or `yaml`
 * block whose first line names a file is written there; one that names none must stand in the shipped policy. In what a
 * command prints, `...` stands for anything, and a number for any number, so that an edit of the policy, which changes its
 * counts, need not change the page.
 */

import { spawnSync } from 'node:child_process';
import { appendFile, cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { MAX_CLASSES } from '../../src/policy/analysis/classes.ts';
import { MAX_CUBES } from '../../src/policy/analysis/minimise.ts';
import { ROOT } from '../support/cli.ts';
import { POLICY_FOLDER, shippedTexts } from './texts.ts';

const AUTHZ = path.join(ROOT, 'dist', 'src', 'main.js');

interface Block {
  readonly language: string;
  readonly body: string;
}

/** A console block's commands, each with the lines that it is said to print. */
function commandsIn(body: string): { command: string; output: string[] }[] {
  const commands: { command: string; output: string[] }[] = [];
  for (const line of body.trimEnd().split('\n')) {
    if (line.startsWith('$ ')) commands.push({ command: line.slice(2), output: [] });
    else commands.at(-1)?.output.push(line) ?? expect.fail(`no command before: ${line}`);
  }
  return commands;
}

function patternOf(output: readonly string[]): RegExp {
  const lines = output.map((line) =>
    line === '...'
      ? '(?:.*\\n)*?'
      : `${line
          .split(/(\.\.\.| +|\d+)/)
          .map((part) =>
            part === '...'
              ? '.*'
              : /^ +$/.test(part)
                ? ' +'
                : /^\d+$/.test(part)
                  ? '\\d+'
                  : part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'),
          )
          .join('')}\\n`,
  );
  return new RegExp(`^${lines.join('')}$`);
}

describe('docs/policies.md', function () {
  this.timeout(60_000);
  let folder: string;
  let page: string;
  let blocks: readonly Block[];

  before(async () => {
    page = await readFile(path.join(ROOT, 'docs', 'policies.md'), 'utf8');
    blocks = [...page.matchAll(/^```(\w*)\n(.*?)^```$/gms)].map(([, language = '', body = '']) => ({ language, body }));
    folder = await mkdtemp(path.join(tmpdir(), 'authz-docs-'));
    await cp(POLICY_FOLDER, path.join(folder, 'policies'), { recursive: true });
    const git = (...args: readonly string[]): unknown => spawnSync('git', ['-C', folder, ...args]);
    git('init', '-q');
    git('add', '-A');
    git('-c', 'user.name=t', '-c', 'user.email=t@example.org', 'commit', '-qm', 'the shipped policy');
  });
  after(() => rm(folder, { recursive: true, force: true }));

  let last: number | null = 0;

  function run(command: string): string {
    if (command === 'echo $?') return `${last}\n`;
    const [program = '', ...args] = command.split(' ');
    const [file, all] = program === 'authz' ? [process.execPath, [AUTHZ, ...args]] : [program, args];
    const env = { PATH: process.env['PATH'], HOME: process.env['HOME'], POLICY_DIR: path.join(folder, 'policies') };
    const { status, stdout, stderr } = spawnSync(file, all, { cwd: folder, env, encoding: 'utf8' });
    last = status;
    return stdout + stderr;
  }

  async function write(body: string): Promise<void> {
    const named = /^# (?<where>at the end of )?(?<file>[\w./-]+)\n/.exec(body);
    if (!named) {
      expect([...(await shippedTexts()).values()].join('\n')).to.include(body.trim());
      return;
    }
    const file = path.join(folder, named.groups?.['file'] ?? '');
    await mkdir(path.dirname(file), { recursive: true });
    await (named.groups?.['where'] ? appendFile : writeFile)(file, body.slice(named[0].length));
  }

  it('states the bounds of the code', () => {
    expect(page).to.include(`more than ${MAX_CLASSES.toLocaleString('en')} classes`);
    expect(page).to.include(`more than ${MAX_CUBES} conditions`);
  });

  it('has examples that run, in their order, and print what it shows', async () => {
    const ran: string[] = [];
    for (const { language, body } of blocks) {
      if (language !== 'console') {
        expect(['csv', 'yaml'], `a block of ${language} would be run by nobody`).to.include(language);
        await write(body);
        continue;
      }
      for (const { command, output } of commandsIn(body)) {
        const got = run(command);
        if (command === 'echo $?') expect(got).to.equal(`${output.join('\n')}\n`);
        else expect(got, command).to.match(patternOf(output));
        ran.push(command);
      }
    }
    for (const verb of ['check', 'test', 'explain', 'table', 'diff']) {
      expect(
        ran.some((command) => command.startsWith(`authz policy ${verb} `)),
        verb,
      ).to.equal(true);
    }
  });
});
