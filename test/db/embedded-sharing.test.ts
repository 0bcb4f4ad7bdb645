import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { chown, readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { openEmbedded } from '../../src/db/embedded/server.ts';
import {
  ask,
  type Child,
  cleanUp,
  eventually,
  gone,
  isRoot,
  newCluster,
  newDataDir,
  running,
  signal,
  startChild,
} from '../support/embedded.ts';
import { amount } from '../support/long.ts';

const urlOf = async (child: Child): Promise<string> => {
  const { url, refused } = await child.tells();
  if (url === undefined) expect.fail(refused ?? 'the child has ended');
  return url;
};
const count = (dataDir: string, what: string): number => running(dataDir).filter((each) => each.what === what).length;
const startTime = 'select pg_postmaster_start_time()::text';

describe('the embedded PostgreSQL, shared by processes', function () {
  this.timeout(60_000);
  let dataDir: string;

  before(async function () {
    dataDir = await newCluster(this);
  });
  afterEach(() => gone(dataDir));
  after(cleanUp);

  it('stops when it is closed, once or several times, and has its data when it is opened again', async () => {
    const first = await openEmbedded({ dataDir });
    await ask(first.url, 'create table kept as select 42 as answer');
    await Promise.all([first.close(), first.close()]);
    await gone(dataDir);
    await first.close();
    const second = await openEmbedded({ dataDir });
    expect(await ask(second.url, 'select answer from kept')).to.equal(42);
    await second.close();
  });

  it('does not keep the event loop of an idle process alive', async () => {
    const child = startChild(dataDir, 'idle');
    expect((await child.tells()).url).to.be.a('string');
    await child.ended;
  });

  it('outlives the process that started it while another uses it, and stops with the last', async () => {
    const first = startChild(dataDir, 'hold');
    const url = await urlOf(first);
    const started = await ask(url, startTime);
    const second = startChild(dataDir, 'hold');
    expect(await urlOf(second)).to.equal(url);
    first.letGo();
    await first.ended;
    expect(await ask(url, startTime)).to.equal(started);
    second.letGo();
    await second.ended;
  });

  for (const processes of [2, amount(3, 5)]) {
    it(`is one server for ${processes} processes that start at once on a new DATA_DIR`, async () => {
      const fresh = await newDataDir();
      const children = Array.from({ length: processes }, () => startChild(fresh, 'hold'));
      const urls = await Promise.all(children.map(urlOf));
      expect(new Set(urls).size).to.equal(1);
      for (const url of urls) expect(await ask(url)).to.equal(1);
      // A process that lost the race may have started a watchdog of its own, which ends.
      await eventually(() => (count(fresh, 'postmaster') === 1 && count(fresh, 'watchdog') === 2) || undefined);
      for (const { letGo } of children) letGo();
      await Promise.all(children.map(({ ended }) => ended));
      await gone(fresh);
    });
  }

  for (const name of ['SIGKILL', 'SIGTERM'] as const) {
    it(`stops when its only user gets ${name}`, async () => {
      const child = startChild(dataDir, 'hold');
      await urlOf(child);
      process.kill(child.pid, name);
      await child.ended;
    });
  }

  it('stops when its only user dies while it starts', async () => {
    for (const delayMs of [0, 5, 20]) {
      const child = startChild(dataDir, 'hold');
      await eventually(() => count(dataDir, 'watchdog') > 0 || undefined);
      await sleep(delayMs);
      process.kill(child.pid, 'SIGKILL');
      await child.ended;
      await gone(dataDir);
    }
  });

  it('stops when it is suspended, too', async () => {
    const child = startChild(dataDir, 'hold');
    await urlOf(child);
    signal(dataDir, 'postmaster', 'SIGSTOP');
    process.kill(child.pid, 'SIGKILL');
    await child.ended;
  });

  it('survives a ^C (SIGINT to the process group) that its user survives', async () => {
    const child = startChild(dataDir, 'hold');
    const url = await urlOf(child);
    process.kill(-child.pid, 'SIGINT');
    expect(await child.tells()).to.deep.equal({ interrupted: true });
    const started = await ask(url, startTime);
    process.kill(-child.pid, 'SIGINT');
    expect(await child.tells()).to.deep.equal({ interrupted: true });
    expect(await ask(url, startTime)).to.equal(started);
    child.letGo();
    await child.ended;
  });

  // A backend is killed only once: PostgreSQL itself does not survive a kill during its crash recovery.
  for (const [what, times] of [
    ['postmaster', amount(3, 7)],
    ['backend', 1],
  ] as const) {
    it(`answers at the same address again after its ${what} was killed, ${times} times`, async () => {
      const { url, close } = await openEmbedded({ dataDir });
      // Each kill waits until it answers: a PostgreSQL killed during recovery can leave a hanging child that keeps the next
      // from starting.
      for (let time = 0; time < times; time++) {
        await eventually(() => signal(dataDir, what, 'SIGKILL'));
        expect(await eventually(() => ask(url))).to.equal(1);
      }
      const second = await openEmbedded({ dataDir });
      expect(second.url).to.equal(url);
      await Promise.all([close(), second.close()]);
    });
  }

  it('is restarted by the process that opens it next when its watchdog was killed', async () => {
    const first = await openEmbedded({ dataDir });
    signal(dataDir, 'watchdog', 'SIGKILL');
    await eventually(() => count(dataDir, 'watchdog') === 0 || undefined);
    const second = await openEmbedded({ dataDir });
    expect(await ask(second.url)).to.equal(1);
    expect(await ask(first.url)).to.equal(1);
    await second.close();
    expect(await ask(first.url)).to.equal(1);
    await first.close();
  });

  it('is restarted when its watchdog was killed and no process used it', async () => {
    const first = startChild(dataDir, 'hold');
    await urlOf(first);
    signal(dataDir, 'watchdog', 'SIGKILL');
    process.kill(first.pid, 'SIGKILL');
    await first.ended;
    const { url, close } = await openEmbedded({ dataDir });
    expect(await ask(url)).to.equal(1);
    await close();
  });

  it('opens again after everything was killed, also when other processes have its process id by now', async () => {
    const child = startChild(dataDir, 'hold');
    await urlOf(child);
    const pidFile = path.join(dataDir, 'postgres/postmaster.pid');
    const [, ...rest] = (await readFile(pidFile, 'utf8')).split('\n');
    // The server first: once its user is killed, its watchdog stops it.
    signal(dataDir, 'process', 'SIGKILL');
    process.kill(child.pid, 'SIGKILL');
    await gone(dataDir);
    const again = await openEmbedded({ dataDir });
    expect(await ask(again.url)).to.equal(1);
    await again.close();
    await gone(dataDir);

    const { uid, gid } = await stat(path.join(dataDir, 'postgres'));
    const owner = isRoot ? { uid, gid } : {};
    // Prints the id of a zombie: a process that has ended and was not reaped.
    const innocent = spawn('/bin/sh', ['-c', 'sleep 0.2 & echo $!; exec sleep 60'], { ...owner, cwd: '/' });
    try {
      const ended = String(await once(innocent.stdout, 'data')).trim();
      await eventually(() => /zombie/.test(readFileSync(`/proc/${ended}/status`, 'utf8')) || undefined);
      for (const number of [innocent.pid, ended]) {
        for (const file of [pidFile, path.join(dataDir, 'postgres/.s.PGSQL.5432.lock')]) {
          await writeFile(file, [number, ...rest].join('\n'), { mode: 0o600 });
          await chown(file, uid, gid);
        }
        const { url, close } = await openEmbedded({ dataDir });
        expect(await ask(url)).to.equal(1);
        await close();
        await gone(dataDir);
      }
      expect(innocent).to.include({ exitCode: null, signalCode: null });
    } finally {
      innocent.kill('SIGKILL');
    }
  });

  it('can be opened while its last user closes it', async () => {
    let closing = Promise.resolve();
    for (let time = 0; time < amount(6, 20); time++) {
      const { url, close } = await openEmbedded({ dataDir });
      expect(await ask(url)).to.equal(1);
      await closing;
      closing = close();
      await sleep(time * amount(10, 3));
    }
    await closing;
  });

  it('can be opened and closed by several processes over and over', async () => {
    const children = Array.from({ length: 3 }, () => startChild(dataDir, `again=${amount(3, 10)}`));
    await Promise.all(children.map(urlOf));
    await Promise.all(children.map(({ ended }) => ended));
  });
});
