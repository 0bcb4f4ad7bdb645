/** The examples of docs/policies.md but for its cookbook, run from the top of the page to its end in one folder. */

import { readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { expect } from 'chai';
import { MAX_CLASSES } from '../../src/policy/analysis/classes.ts';
import { MAX_CUBES } from '../../src/policy/analysis/minimise.ts';
import { ROOT } from '../support/cli.ts';
import { blocksOf, newFolder, runConsole, shell, write } from './page.ts';

describe('docs/policies.md', function () {
  this.timeout(120_000);
  let folder: string;
  let page: string;

  before(async () => {
    page = await readFile(path.join(ROOT, 'docs', 'policies.md'), 'utf8');
    folder = await newFolder();
    const commit = 'git -c user.name=t -c user.email=t@example.org commit -qm "the shipped policy"';
    expect(await shell(folder, `git init -q && git add -A && ${commit}`)).to.deep.equal({ code: 0, output: '' });
  });
  after(() => rm(folder, { recursive: true, force: true }));

  it('states the bounds of the code', () => {
    expect(page).to.include(`more than ${MAX_CLASSES.toLocaleString('en')} classes`);
    expect(page).to.include(`more than ${MAX_CUBES} conditions`);
  });

  it('has examples that run, in their order, and print what it shows', async () => {
    const ran: string[] = [];
    const [text = ''] = page.split('\n## Cookbook\n');
    const env = { POLICY_DIR: path.join(folder, 'policies') };
    const last = { code: 0 };
    for (const block of blocksOf(text)) {
      if (block.language !== 'console') await write(folder, block);
      else ran.push(...(await runConsole(block.body, (command) => shell(folder, command, env), last)));
    }
    for (const verb of ['check', 'test', 'explain', 'table', 'diff']) {
      expect(
        ran.some((command) => command.startsWith(`authz policy ${verb} `)),
        verb,
      ).to.equal(true);
    }
  });
});
