/** The log's disk is full, really: its partition lies on a file system of its own that has no room left. Needs root (Linux). */

import { execFileSync } from 'node:child_process';
import { chownSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { connect } from '../../../src/db/connect.ts';
import { type Cluster, startCluster } from '../../support/cluster.ts';
import { startService, type TestService } from '../../support/service.ts';
import { type Row, verifiedRows } from '../verify/independent.ts';

const CLIENTS = 8;

/** A file system of 4 MB, or the reason for which this machine gives none. */
function mountSmallDisk(): { readonly folder: string; readonly why?: string } {
  const folder = mkdtempSync(path.join(tmpdir(), 'authz-disk-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m,mode=755', 'authz-test', folder], { stdio: 'pipe' });
    return { folder };
  } catch (error) {
    return { folder, why: `no file system can be mounted here (${(error as Error).message.split('\n')[0]})` };
  }
}

describe("a disk without room for the log's records", () => {
  let disk: ReturnType<typeof mountSmallDisk>;
  /** Of its own: a server whose tablespace is gone aborts at its next checkpoint. */
  let cluster: Cluster | undefined;
  let service: TestService | undefined;

  before(() => {
    disk = mountSmallDisk();
  });
  after(async () => {
    await service?.close();
    await cluster?.close();
    if (disk.why === undefined) execFileSync('umount', ['-l', disk.folder]);
    rmSync(disk.folder, { recursive: true, force: true });
  });

  it('gets 503s and no answer, and none is missing when there is room again, without a restart', async function () {
    if (disk.why !== undefined) {
      console.log(`      skipped: ${disk.why}; test/faults/database.alone.test.ts has PostgreSQL only say so`);
      return this.skip();
    }
    cluster = await startCluster();
    const { url } = cluster;
    const db = connect({ url, poolSize: 1 });
    const { rows } = await db.raw('show data_directory');
    const { uid, gid } = statSync(rows[0].data_directory);
    chownSync(disk.folder, uid, gid);
    await db.raw(`create tablespace small location '${disk.folder}'`);
    await db.raw(`alter database ${new URL(url).pathname.slice(1)} set default_tablespace = small`);
    await db.destroy();

    service = await startService({ DATABASE_URL: url });
    const { db: table, ask } = service;
    for (const name of await tablesAndIndexes()) await table.raw(`alter ${name} set tablespace small`);

    const told: string[] = [];
    const question = { apiKey: 'junk', action: 'account:read', context: { userAgent: 'x'.repeat(512) } };
    const batch = { requests: Array.from({ length: 20 }, () => question) };
    /** Asks until an answer has that status. */
    const askUntil = async (status: number): Promise<void> => {
      const statuses = new Set<number>();
      while (!statuses.has(status)) {
        const replies = await Promise.all(Array.from({ length: CLIENTS }, () => ask('/authorize/batch', batch)));
        for (const reply of replies) {
          statuses.add(reply.status);
          const decisions = (reply.body.Data?.['decisions'] ?? []) as { Data: { decisionId: string } }[];
          if (reply.status === 200) told.push(...decisions.map(({ Data }) => Data.decisionId));
          else expect([reply.status, reply.body.Code]).to.deep.equal([503, 'UNAVAILABLE']);
        }
      }
    };
    await askUntil(200);
    await askUntil(503);
    // Pages that the batches were refused on have room for single records, until they have not.
    for (let inARow = 0; inARow < 20; ) {
      const { status, body } = await ask('/authorize', question);
      inARow = status === 503 ? inARow + 1 : 0;
      if (status === 200) told.push(String(body.Data?.['decisionId']));
    }
    expect((await ask('/readyz')).body.Data).to.include({ database: true, log: false });
    await expectRecorded();

    execFileSync('mount', ['-o', 'remount,size=64m', disk.folder]);
    while ((await ask('/readyz')).status !== 200) await sleep(50);
    await askUntil(200);
    await expectRecorded();
    await table.raw(`alter database ${new URL(url).pathname.slice(1)} reset default_tablespace`);
    for (const name of await tablesAndIndexes()) await table.raw(`alter ${name} set tablespace pg_default`);

    async function tablesAndIndexes(): Promise<string[]> {
      const { rows } = await table.raw<{ rows: { name: string }[] }>(
        `select case relkind when 'r' then 'table ' else 'index ' end || oid::regclass as name from pg_class
         where relispartition and relkind in ('r', 'i') and relname like 'decisions_%'`,
      );
      return rows.map(({ name }) => name);
    }
    async function expectRecorded(): Promise<void> {
      const recorded = new Set((await verifiedRows(table)).map(({ id }: Row) => id));
      expect(told.filter((id) => !recorded.has(id))).to.deep.equal([]);
    }
  });
});
