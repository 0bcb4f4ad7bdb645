/**
 * docs/restore.md as it stands, against a real server of Debian's with its own tools: a dump into a second database, and a base backup that is
 * brought to a moment in a second place, compared, reconciled, and put behind the service that ran through it all.
 */

import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import type { Knex } from 'knex';
import { makeSigningKey } from '../../src/audit/format/signatures.ts';
import { connect } from '../../src/db/connect.ts';
import { type EmbeddedServer, openEmbedded } from '../../src/db/embedded/server.ts';
import { migrate } from '../../src/db/migrate.ts';
import { eventually } from '../http/process.ts';
import { authz, ROOT } from '../support/cli.ts';
import { type Client, clientOf, type MadeKey } from '../support/client.ts';
import { expectInOrder, runGuide } from '../support/guide.ts';
import { withoutFlushes } from '../support/postgres.ts';
import { createRoles } from '../support/roles.ts';
import { startService, type TestService } from '../support/service.ts';

const INSTALLED = '/usr/lib/postgresql';
const BIN = (existsSync(INSTALLED) ? readdirSync(INSTALLED) : [])
  .map((version) => path.join(INSTALLED, version, 'bin'))
  .filter((bin) => ['postgres', 'pg_ctl', 'pg_basebackup', 'pg_dump'].every((name) => existsSync(path.join(bin, name))))
  .at(-1);
/**
 * The page is for the account of the server; as root, these programs take it. Descriptors 3 and 4 are those of the shell's `authz`: a
 * server that pg_ctl starts outlives the shell, which does not end while somebody has them.
 */
const TAKE = process.getuid?.() === 0 ? 'runuser -u postgres --' : 'command';
const ACCOUNT = `for name in pg_ctl pg_basebackup cp touch; do eval "$name() { ${TAKE} $(command -v $name) \\"\\$@\\" 3>&- 4<&-; }"; done\n`;

describe('docs/restore.md', function () {
  this.timeout(300_000);
  let folder: string;
  let server: EmbeddedServer;
  let service: TestService;
  let client: Client;
  let env: Record<string, string>;
  let restored: Knex | undefined;

  before(async function () {
    if (BIN === undefined) {
      console.log(`      (skipped: no server of PostgreSQL with its tools under ${INSTALLED})`);
      this.skip();
    }
    folder = await mkdtemp(path.join(tmpdir(), 'authz-restore-'));
    await chmod(folder, 0o755);
    const place = (name: string): string => path.join(folder, name);
    for (const name of ['backups', 'archive', 'outside']) await mkdir(place(name));
    if (process.getuid?.() === 0) execFileSync('chown', ['postgres', folder, place('backups'), place('archive')]);
    await writeFile(place('signing-key.pem'), makeSigningKey(), { mode: 0o600 });
    const pem = execFileSync('openssl', ['pkey', '-in', place('signing-key.pem'), '-pubout']);
    await writeFile(place('outside/audit.pem'), pem);
    server = await openEmbedded({ dataDir: place('data'), binDir: BIN });
    await withoutFlushes(server.url);
    const url = new URL(server.url);
    env = {
      PATH: `${BIN}:${process.env['PATH']}`,
      // Where a command that lacks its DATABASE_URL ends up.
      DATA_DIR: place('none'),
      SUPERUSER_URL: server.url,
      SECOND_URL: Object.assign(new URL(url), { pathname: 'second' }).href,
      RESTORED_URL: server.url.replace(url.host, `${encodeURIComponent(place('restored'))}:5432`),
      BACKUPS: place('backups'),
      ARCHIVE: place('archive'),
      OUTSIDE: place('outside'),
      RESTORED: place('restored'),
    };
    const owner = connect({ url: server.url, poolSize: 1 });
    await migrate(owner);
    await createRoles(owner);
    await owner.raw('create database second');
    await owner.destroy();
  });
  after(async () => {
    await restored?.destroy();
    await service?.close();
    await server?.close();
    if (folder !== undefined && existsSync(path.join(folder, 'restored', 'postmaster.pid')))
      await page(`pg_ctl --pgdata="$RESTORED" --mode=immediate stop`);
    if (folder !== undefined) await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  });

  const page = (commands: string) => runGuide(ACCOUNT + commands, folder, env);
  /** The nth block behind a heading, from 1. */
  const block = async (heading: string, nth = 1): Promise<string> => {
    const text = await readFile(path.join(ROOT, 'docs', 'restore.md'), 'utf8');
    const section = text.split(`\n${heading}\n`)[1]?.split('\n## ')[0] ?? '';
    const commands = [...section.matchAll(/```sh\n([\s\S]*?)```/g)][nth - 1]?.[1];
    if (commands === undefined) throw new Error(`restore.md has no block ${nth} under ${heading}`);
    ran += 1;
    return commands;
  };
  let ran = 0;

  /** Resolves once a checkpoint covers all that was recorded up to now. */
  const attested = async (): Promise<void> => {
    marks += 1;
    await client.data('PUT', `/users/mark-${marks}`, {});
    const events = Number((await service.db('change_counter').first('events'))?.events);
    const file = `${env['OUTSIDE']}/checkpoints.jsonl`;
    await eventually(async () => (await readFile(file, 'utf8')).includes(`"records":${events},`));
  };
  let marks = 0;

  it('brings a database back, and with it nothing that was taken away', async () => {
    await page(await block('## A base backup, and any moment since'));
    await server.close();
    server = await openEmbedded({ dataDir: path.join(folder, 'data'), ...(BIN && { binDir: BIN }) });
    service = await startService({
      DATABASE_URL: server.url,
      AUDIT_CHECKPOINTS: `${env['OUTSIDE']}/checkpoints.jsonl`,
      AUDIT_SIGNING_KEY: path.join(folder, 'signing-key.pem'),
      AUDIT_CHECKPOINT_SECONDS: '1',
    });
    client = clientOf(service);
    await client.newUser('ann', 'bakery', 'garage');
    const [kept, revoked, narrowed] = [
      await client.newKey('ann'),
      await client.newKey('ann'),
      await client.newKey('ann'),
    ];
    expect(await client.decide(kept.apiKey, 'bakery')).to.equal('OK');
    await page(await block('## A base backup, and any moment since', 2));

    await dumpAndRestore(kept);

    const { rows } = await service.db.raw('select clock_timestamp()::text as moment');
    env['MOMENT'] = rows[0].moment;
    await client.data('POST', `/keys/${revoked.id}/revoke`, {});
    await client.data('PATCH', `/keys/${narrowed.id}`, { restrictedBusinessIds: ['garage'] });
    const made = await client.newKey('ann');
    expect(await client.decide(made.apiKey, 'bakery')).to.equal('OK');
    await attested();
    await page(await block('## Keep the events of administration outside'));
    await service.db.raw('select pg_switch_wal()');
    await eventually(async () => {
      const { rows: archived } = await service.db.raw(
        `select last_archived_wal >= pg_walfile_name(pg_current_wal_lsn() - 1) as done from pg_stat_archiver`,
      );
      return archived[0].done;
    });
    await server.close();
    await page(await block('## Restore to a moment'));
    restored = connect({ url: String(env['RESTORED_URL']), poolSize: 2 });

    const lost = await page(await block('## What was lost'));
    expectInOrder(lost.stdout, [
      /lost: of the chain [-0-9a-f]+ of \d{4}-\d\d-\d\d the decisions 2 to 2, attested/,
      /lost: of the chain of administration the events \d+ to \d+, attested/,
      /1 decision lost/,
      /clean: the log is what was recorded/,
    ]);

    // As the page exports it, for the commands behind.
    env['DATABASE_URL'] = String(env['RESTORED_URL']);
    const before = await restored('api_keys').orderBy('id').select('id', 'version');
    const dry = await page(await block('## What must not live again'));
    expectInOrder(dry.stdout, [
      /key\.revoke +/,
      /key\.update +/,
      /a key of ann; its digest is gone/,
      /2 changes to be made/,
    ]);
    expect(await restored('api_keys').orderBy('id').select('id', 'version')).to.deep.equal(before);
    const done = await page(await block('## What must not live again', 2));
    expect(done.stdout).to.include('2 changes made');

    await takeOver(server.url);
    await eventually(async () => (await service.ask('/readyz')).status === 200);
    const decisions = { kept, revoked, narrowed, made };
    const codes = await Promise.all(
      Object.entries(decisions).map(async ([name, key]) => [name, await client.decide(key.apiKey, 'bakery')]),
    );
    expect(Object.fromEntries(codes)).to.deep.equal({
      kept: 'OK',
      revoked: 'INVALID_API_KEY',
      narrowed: 'PERMISSION_DENIED',
      made: 'INVALID_API_KEY',
    });
    const text = await readFile(path.join(ROOT, 'docs', 'restore.md'), 'utf8');
    expect(ran, 'blocks of the page that were run').to.equal(text.match(/^```sh$/gm)?.length);
    const refused = await authz(['audit', 'events', '--out', `${env['OUTSIDE']}/events.jsonl`], {
      DATABASE_URL: server.url,
    });
    expect([refused.code, refused.stderr]).to.satisfy(
      ([code, says]: [number, string]) => code === 1 && says.includes('restored'),
    );
  });

  /** The dump into the second database: a service starts on it and decides alike, and the log verifies. */
  const dumpAndRestore = async (key: MadeKey): Promise<void> => {
    await attested();
    await page(await block('## A dump'));
    const { stdout } = await page(await block('## A dump', 2));
    expect(stdout).to.include('clean: the log is what was recorded');
    const second = await startService({
      DATABASE_URL: String(env['SECOND_URL']),
      KEY_PEPPERS: `${service.pepper.id}:${service.pepper.secret.toString('base64')}`,
    });
    expect(await clientOf(second).decide(key.apiKey, 'bakery')).to.equal('OK');
    await second.close();
  };

  /** The restored server at the address of the old one. */
  const takeOver = async (url: string): Promise<void> => {
    const socket = decodeURIComponent(new URL(url).hostname);
    await restored?.destroy();
    restored = undefined;
    expect((await stat(socket)).isDirectory()).to.equal(true);
    await page(
      `pg_ctl --pgdata="$RESTORED" --log="$RESTORED/server.log" --options="-c listen_addresses='' -c unix_socket_directories='${socket}'" restart`,
    );
  };
});
