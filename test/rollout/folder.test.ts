/** Reading a policy folder from disk, or refusing it with a reason that says what to correct. */

import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { Refusal } from '../../src/errors.ts';
import { loadPolicy, readPolicyFolder } from '../../src/rollout/folder.ts';
import { POLICY_FOLDER, shippedPolicy } from '../policy/texts.ts';

/** The error that `build` throws; fails when it throws none. */
async function thrownBy(build: () => unknown): Promise<Error> {
  try {
    await build();
  } catch (error) {
    return error as Error;
  }
  return expect.fail('nothing was thrown');
}

describe('the policy of a folder', () => {
  let folder: string;

  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'policies-'));
    await cp(POLICY_FOLDER, folder, { recursive: true });
  });
  afterEach(() => rm(folder, { recursive: true }));

  it('is built of its texts; dot files are ignored', async () => {
    await writeFile(path.join(folder, '.20-limit.csv.swp'), 'x');
    await mkdir(path.join(folder, '..data'));
    await writeFile(path.join(folder, 'cases', '.rows.yaml.swp'), 'x');
    expect((await loadPolicy(folder)).digest).to.equal((await shippedPolicy()).digest);
  });

  it('is refused with every finding and its file, line and column', async () => {
    await writeFile(path.join(folder, '20-limit.csv'), 'p, x, *, "r.limit", dney, RATE_LIMITED\n');
    const error = await thrownBy(() => loadPolicy(folder));
    expect(error).to.be.instanceOf(Refusal);
    expect(error.message).to.match(/20-limit\.csv:1:11: .*\[unknown-fact\]\n.*20-limit\.csv:1:21: .*\[row-effect\]$/);
  });

  it('is refused when a file is not UTF-8', async () => {
    for (const bytes of [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xe2, 0x80], [0xff, 0xfe, 0x70, 0x00]]) {
      await writeFile(path.join(folder, '20-limit.csv'), Buffer.from(['# '.charCodeAt(0), ...bytes]));
      expect(await thrownBy(() => readPolicyFolder(folder)))
        .to.be.instanceOf(Refusal)
        .and.have.property('message')
        .that.contains('20-limit.csv');
    }
  });

  it('is refused when a byte order mark hides the first row', async () => {
    await writeFile(
      path.join(folder, '20-limit.csv'),
      '\ufeffp, limit-exceeded, *, "r.limit.exceeded", deny, RATE_LIMITED\n',
    );
    expect((await thrownBy(() => loadPolicy(folder))).message).to.contain('20-limit.csv:1:1: U+feff');
  });

  it('is refused when it is missing, is a file, or has subfolders; an empty one has many findings', async () => {
    for (const wrong of [path.join(folder, 'nowhere'), path.join(folder, 'codes.yaml')]) {
      expect(await thrownBy(() => loadPolicy(wrong))).to.be.instanceOf(Refusal);
    }
    await mkdir(path.join(folder, '50-more.csv'));
    expect(await thrownBy(() => loadPolicy(folder))).to.be.instanceOf(Refusal);
    await rm(folder, { recursive: true });
    await mkdir(folder);
    expect((await thrownBy(() => loadPolicy(folder))).message)
      .to.contain('codes.yaml:1:1')
      .and.to.contain('model.conf:1:1');
  });

  it('is refused without its cases', async () => {
    await rm(path.join(folder, 'cases'), { recursive: true });
    expect((await thrownBy(() => loadPolicy(folder))).message).to.contain('[no-cases]');
  });
});
