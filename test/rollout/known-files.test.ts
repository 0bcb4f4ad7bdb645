/** Which network files need not be read again: those that nobody can have changed. */

import { mkdtemp, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { createKnownFiles, type KnownFiles } from '../../src/rollout/known-files.ts';

const SECOND = 1000;

describe('a network file that was read', () => {
  let folder: string;
  let file: string;
  let now: number;
  let known: KnownFiles;

  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'known-'));
    file = path.join(folder, 'blocked.txt');
    await writeFile(file, '10.0.0.0/8');
    now = Date.now() + 10 * SECOND;
    known = createKnownFiles(new Map(), () => now);
  });
  afterEach(() => rm(folder, { recursive: true }));

  const keep = async (text = 'text'): Promise<string> =>
    known.keep('blocked.txt', await stat(file, { bigint: true }), text);
  const kept = async (): Promise<string | undefined> => known.textOf('blocked.txt', await stat(file, { bigint: true }));

  it('is known as long as nothing of it changes, for a minute', async () => {
    expect(await kept()).to.equal(undefined);
    await keep();
    expect(await kept()).to.equal('text');
    now += 59 * SECOND;
    expect(await kept()).to.equal('text');
    now += SECOND;
    expect(await kept()).to.equal(undefined);
    await keep('later');
    expect(await kept()).to.equal('later');
  });

  it('is not known after a clock was set back', async () => {
    await keep();
    now -= 3600 * SECOND;
    expect(await kept()).to.equal(undefined);
  });

  it('is read again after a write of as many bytes, whatever time the file claims', async () => {
    const time = 1_700_000_000;
    await utimes(file, time, time);
    await keep();
    expect(await kept()).to.equal('text');
    await writeFile(file, '10.0.0.0/9');
    await utimes(file, time, time);
    expect(await kept()).to.equal(undefined);
  });

  it('is read again where another file took its place', async () => {
    await keep();
    await writeFile(`${file}.new`, '10.0.0.0/9');
    await rename(`${file}.new`, file);
    expect(await kept()).to.equal(undefined);
  });

  it('is not known within three seconds of a write: another might have the same time', async () => {
    now = Date.now() + 2 * SECOND;
    await keep();
    expect(await kept()).to.equal(undefined);
    now += 2 * SECOND;
    await keep();
    expect(await kept()).to.equal('text');
  });

  it('is forgotten when it was not read for two minutes', async () => {
    const stats = await stat(file, { bigint: true });
    known.keep('gone.txt', stats, 'gone');
    now += 121 * SECOND;
    await keep();
    now -= 121 * SECOND;
    expect(known.textOf('gone.txt', stats)).to.equal(undefined);
  });

  it('is read once more where its text is held anyway, but was not read with its times', async () => {
    known = createKnownFiles(new Map([['blocked.txt', 'text']]), () => now);
    expect(await kept()).to.equal(undefined);
    expect(await keep()).to.equal('text');
    expect(await kept()).to.equal('text');
  });
});
