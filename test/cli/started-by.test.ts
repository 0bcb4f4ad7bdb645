/** `authz serve` started as people and machines start it, and told to stop where they would: it drains, and leaves nothing behind. */

import { type ChildProcess, type SpawnOptions, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { eventually, settingsOf } from '../http/process.ts';
import { askRaw, dial, request } from '../http/wire.ts';
import { ENVIRONMENT, ROOT } from '../support/cli.ts';
import { untilLockWaits } from '../support/lock-waits.ts';
import { newDatabase } from '../support/postgres.ts';
import { startService, type TestService } from '../support/service.ts';

const NODE = process.execPath;
const AUTHZ = path.join(ROOT, 'bin', 'authz.mjs');

describe('a service that is started by', function () {
  this.timeout(90_000);
  let folder: string;
  let service: TestService;
  let settings: Record<string, string>;
  const groups: number[] = [];

  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'lifecycle-started-'));
    const url = await newDatabase();
    service = await startService({ DATABASE_URL: url });
    settings = {
      ...ENVIRONMENT,
      ...settingsOf(service, url),
      PORT: '0',
      DECISION_DEADLINE_MS: '60000',
      // A test that waits for this has failed.
      SHUTDOWN_LIMIT_MS: '600000',
      npm_config_cache: path.join(folder, 'npm'),
      npm_config_update_notifier: 'false',
    } as Record<string, string>;
  });
  afterEach(() => {
    for (const group of groups.splice(0)) {
      try {
        process.kill(-group, 'SIGKILL');
      } catch {
        // All of it has ended, as it should.
      }
    }
  });
  after(async () => {
    await service?.close();
    await rm(folder, { recursive: true, force: true });
  });

  interface Started {
    readonly top: ChildProcess;
    readonly address: string;
    readonly log: () => string;
    /** Resolves when all that was started has closed its output, and so has ended. */
    readonly over: Promise<unknown>;
  }

  /** As the leader of a process group of its own, as shells and managers do it. */
  async function start(
    command: readonly string[],
    env: Record<string, string> = {},
    options: SpawnOptions = {},
  ): Promise<Started> {
    const [file = '', ...args] = command;
    const top = spawn(file, args, {
      cwd: ROOT,
      env: { ...settings, ...env },
      detached: true,
      stdio: 'pipe',
      ...options,
    });
    groups.push(top.pid ?? 0);
    let log = '';
    for (const stream of [top.stdout, top.stderr]) stream?.on('data', (chunk) => (log += chunk));
    let ended = false;
    const over = once(top, 'close').then(() => {
      ended = true;
    });
    const address = await eventually(() => {
      if (ended) throw new Error(`it ended:\n${log}`);
      return /"address":"([^"]+)"/.exec(log)?.[1];
    });
    return { top, address, log: () => log, over };
  }

  /** The number of the service's own process, which each line of its log has. */
  const pidOf = ({ log }: Started): number => Number(/"pid":(\d+)/.exec(log())?.[1]);
  const isUp = async ({ address }: Started) => (await askRaw(address, 'GET /healthz')).status === 200;

  /** A question is under way while `stop` is called, and is answered after that. */
  async function drains(running: Started, stop: () => unknown): Promise<void> {
    const lock = await service.db.transaction();
    try {
      await lock.raw('lock table decision_records in access exclusive mode');
      const wire = await dial(running.address);
      const headers = [
        ['Authorization', `Bearer ${service.token}`],
        ['Content-Type', 'application/json'],
      ] as const;
      wire.send(request('POST /authorize', headers, '{"action":"a:b"}'));
      await untilLockWaits(service.db, 'decision_records');
      await stop();
      await eventually(() => running.log().includes('"msg":"stopping"'));
      expect(wire.text()).to.equal('');
      await lock.rollback();
      const [reply] = await wire.replies();
      expect(reply?.body).to.include({ Code: 'INVALID_API_KEY' });
    } finally {
      if (!lock.isCompleted()) await lock.rollback();
    }
    await running.over;
    expect(running.log()).to.include('"msg":"stopped"');
  }

  it('npx: SIGTERM to npx, which ends at once', async () => {
    const running = await start(['npx', 'authz', 'serve']);
    // By the shell between, which hears of it alone.
    expect(pidOf(running)).to.not.equal(running.top.pid);
    const npxEnds = once(running.top, 'exit');
    await drains(running, () => {
      running.top.kill('SIGTERM');
      return npxEnds;
    });
    expect(running.log()).to.match(/"signal":"(SIGTERM|the end of npm)"/);
  });

  it('npm exec by a shell that makes room for it: SIGINT to it and to npm, which hands it on, as of Ctrl-C', async () => {
    const running = await start(['npm', 'exec', '--', 'authz', 'serve'], { npm_config_script_shell: 'bash' });
    const both = async () => {
      process.kill(pidOf(running), 'SIGINT');
      // One after the other, since two that are pending are one.
      await eventually(() => running.log().includes('"msg":"stopping"'));
      running.top.kill('SIGINT');
    };
    await drains(running, both);
    expect(running.log()).to.include('"signal":"SIGINT"');
    expect(running.top.exitCode).to.equal(0);
  });

  it('sh that execs it, as PID 1 of a namespace, with its secrets in files', async function () {
    const namespace = [
      'unshare',
      '--pid',
      '--fork',
      '--mount-proc',
      ...(process.getuid?.() === 0 ? [] : ['--map-root-user']),
    ];
    if (spawnSync(namespace[0] ?? '', [...namespace.slice(1), 'true']).status !== 0) this.skip();
    const files = Object.fromEntries(
      await Promise.all(
        ['DATABASE_URL', 'KEY_PEPPERS', 'BOOTSTRAP_TOKEN'].map(async (name) => {
          const file = path.join(folder, name);
          await writeFile(file, `${settings[name]}\n`, { mode: 0o600 });
          return [
            [`${name}_FILE`, file],
            [name, ''],
          ];
        }),
      ).then((pairs) => pairs.flat()),
    );
    const command = [...namespace, 'sh', '-c', `exec '${NODE}' '${AUTHZ}' serve`];
    const running = await start(command, files);
    expect(pidOf(running)).to.equal(1);
    const [inner] = readFileSync(`/proc/${running.top.pid}/task/${running.top.pid}/children`, 'utf8')
      .split(' ')
      .map(Number);
    const shown = readFileSync(`/proc/${inner}/environ`, 'utf8') + readFileSync(`/proc/${inner}/cmdline`, 'utf8');
    for (const name of ['DATABASE_URL', 'KEY_PEPPERS', 'BOOTSTRAP_TOKEN']) expect(shown).to.not.include(settings[name]);
    await drains(running, () => process.kill(inner ?? 0, 'SIGTERM'));
    expect(running.log()).to.include('"signal":"SIGTERM"');
    expect(running.top.exitCode).to.equal(0);
  });

  it('somebody else, whose end it does not follow, even where npm is an ancestor', async () => {
    const running = await start(['sh', '-c', `'${NODE}' '${AUTHZ}' serve; true`], {
      npm_execpath: '/usr/bin/npm',
      npm_command: 'exec',
    });
    const pid = pidOf(running);
    running.top.kill('SIGKILL');
    await once(running.top, 'exit');
    // Several of the looks that it would take, if it followed anybody.
    for (let looks = 0; looks < 10; looks += 1) {
      expect(await isUp(running)).to.equal(true);
      await sleep(100);
    }
    process.kill(pid, 'SIGTERM');
    await running.over;
    expect(running.log()).to.include('"signal":"SIGTERM"').and.include('"msg":"stopped"');
  });
});
