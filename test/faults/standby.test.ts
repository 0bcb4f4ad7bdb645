/** A failover that leaves a standby behind the address: nothing is decided by it, until it is promoted. */

import { chownSync } from 'node:fs';
import { chmod, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { type EmbeddedServer, openEmbedded } from '../../src/db/embedded/server.ts';
import { eventually } from '../http/process.ts';
import { withoutFlushes } from '../support/postgres.ts';
import { insertKey, startService, type TestService } from '../support/service.ts';

describe('a standby behind the address of the primary', () => {
  let folder: string;
  let server: EmbeddedServer;
  let service: TestService;

  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'authz-standby-'));
    await chmod(folder, 0o755);
    server = await openEmbedded({ dataDir: path.join(folder, 'data') });
    await withoutFlushes(server.url);
    service = await startService({ DATABASE_URL: server.url });
  });
  after(async () => {
    await service?.close();
    await server?.close();
    await rm(folder, { recursive: true, force: true });
  });

  it('makes /readyz and decisions 503 until it is promoted', async () => {
    await service.db('users').insert({ id: 'ann' });
    const apiKey = await insertKey(service, { id: 'key', user_id: 'ann' });
    const decide = async () => (await service.ask('/authorize', { apiKey, action: 'account:read' })).status;
    const ready = async () => (await service.ask('/readyz')).status;
    expect([await decide(), await ready()]).to.deep.equal([200, 200]);

    await server.close();
    const data = path.join(folder, 'data', 'postgres');
    const signal = path.join(data, 'standby.signal');
    await writeFile(signal, '');
    const { uid, gid } = await stat(data);
    chownSync(signal, uid, gid);
    server = await openEmbedded({ dataDir: path.join(folder, 'data') });
    await eventually(async () =>
      service.db.raw('select pg_is_in_recovery() as standby').then(
        ({ rows }) => rows[0].standby,
        () => undefined,
      ),
    );
    expect([await decide(), await ready()]).to.deep.equal([503, 503]);

    await service.db.raw('select pg_promote()');
    await eventually(async () => (await ready()) === 200);
    expect(await decide()).to.equal(200);
  });
});
