/** What only a process shows of `authz`: exit codes, signals, pipes. The verbs themselves are tested as functions. */

import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { expect } from 'chai';
import { authzProcess, ROOT, startAuthz } from '../support/cli.ts';

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

  it('ends well when the reader closes the pipe', () => {
    const command = 'set -o pipefail; "$0" "$1" policy table --json | head -1';
    const main = path.join(ROOT, 'dist', 'src', 'main.js');
    const { status, stdout, stderr } = spawnSync('bash', ['-c', command, process.execPath, main], { encoding: 'utf8' });
    expect({ status, stdout, stderr }).to.deep.equal({ status: 0, stdout: '{\n', stderr: '' });
  });
});
