/** What only a process shows of `authz`: exit codes, signals, pipes. The verbs themselves are tested as functions. */

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { POLICY_FOLDER } from '../policy/texts.ts';
import { authzProcess, ROOT, startAuthz } from '../support/cli.ts';

const MAIN = path.join(ROOT, 'dist', 'src', 'main.js');

describe('the process authz', () => {
  it('ends with 0, 1 for a refusal, 2 for misuse, 3 for a failure', async () => {
    const codeOf = async (args: readonly string[], env = {}) => (await authzProcess(args, env)).code;
    expect(await codeOf(['config'])).to.equal(0);
    expect(await codeOf(['config'], { PORT: 'none' })).to.equal(1);
    expect(await codeOf(['fly'])).to.equal(2);
    expect(await codeOf(['policy', 'check', path.join(ROOT, 'no-such-folder')])).to.equal(3);
  });

  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    it(`is killed by ${signal} in a verb that has no ending of its own`, async () => {
      const child = startAuthz(['policy', 'explain', '--facts', '-']);
      // More than a pipe holds: once all of it is taken, the verb is reading, and so has the listeners that it will have.
      await new Promise((resolve) => child.stdin?.write(Buffer.alloc(1 << 20, ' '), resolve));
      child.kill(signal);
      expect(await once(child, 'close')).to.deep.equal([null, signal]);
    });

  it('is ended by SIGTERM as process 1 of a namespace, where no signal has a default action', async function () {
    const namespace = ['--pid', '--fork', ...(process.getuid?.() === 0 ? [] : ['--map-root-user'])];
    if (spawnSync('unshare', [...namespace, 'true']).status !== 0) this.skip();
    const args = [...namespace, process.execPath, MAIN, 'policy', 'explain', '--facts', '-'];
    const child = spawn('unshare', args, { stdio: ['pipe', 'inherit', 'inherit'] });
    await new Promise((resolve) => child.stdin.write(Buffer.alloc(1 << 20, ' '), resolve));
    const first = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8');
    process.kill(Number.parseInt(first, 10), 'SIGTERM');
    expect(await once(child, 'close')).to.deep.equal([128 + 15, null]);
  });

  it('is killed by a signal while it computes, and prints nothing more', async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'authz-busy-'));
    await cp(POLICY_FOLDER, folder, { recursive: true });
    const row = (_: unknown, n: number) => `p, x-${n}, *, "r.key.id == 'k${n}'", deny, PERMISSION_DENIED\n`;
    const rows = Array.from({ length: 50 }, row);
    await writeFile(path.join(folder, '35-x.csv'), rows.join(''));
    // A difference of so many classes is computed for many seconds, without a turn of the event loop.
    const child = startAuthz(['policy', 'diff', folder, POLICY_FOLDER]);
    const printed = text(child.stdout as Readable);
    while (cpuSeconds(child.pid) < 2) await sleep(50);
    child.kill('SIGINT');
    expect(await once(child, 'close')).to.deep.equal([null, 'SIGINT']);
    expect(await printed).to.equal('');
    await rm(folder, { recursive: true });
  });

  const piped = (command: string) =>
    spawnSync('bash', ['-c', `set -o pipefail; ${command}`, process.execPath, MAIN], { encoding: 'utf8' });

  it('ends well when the reader closes the pipe (EPIPE)', () => {
    // The reader is gone before the first write.
    const { status, stderr } = piped('"$0" "$1" policy table --json | true');
    expect({ status, stderr }).to.deep.equal({ status: 0, stderr: '' });
    expect(piped('"$0" "$1" fly 2> >(true)').status).to.equal(2);
  });

  it('fails when the output cannot be written, which is no finding', () => {
    const { status, stderr } = piped('"$0" "$1" policy table --json > /dev/full');
    expect(status).to.equal(3);
    expect(stderr).to.match(/^authz: the output cannot be written \(ENOSPC.*\)\n$/);
  });
});

/** User time of a process, from /proc (Linux), whose unit is a hundredth of a second. */
const cpuSeconds = (pid = 0): number =>
  Number(readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ')[11]) / 100;
