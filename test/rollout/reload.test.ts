/**
 * A policy folder is edited, correctly and not, under load: every answer is by a policy that passed the check, and names
 * it. ROUNDS=300 makes a long run of it.
 */

import { appendFile, cp, mkdtemp, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { eventually, killProcesses, type ServiceProcess, settingsOf, startProcess } from '../http/process.ts';
import { POLICY_FOLDER } from '../policy/texts.ts';
import { amount } from '../support/long.ts';
import { newDatabase } from '../support/postgres.ts';
import { insertKey, startService, type TestService } from '../support/service.ts';

const ROUNDS = Number(process.env['ROUNDS'] ?? amount(8, 14));
const CLIENTS = 8;
/** Between two questions of a client; with LONG=2 the load is full. */
const PAUSE_MS = amount(50, 25, 0);

interface Seen {
  readonly policy: string;
  readonly code: string;
  /** When the request was sent. */
  readonly at: number;
}

describe(`a policy folder that is edited ${ROUNDS} times under load`, () => {
  let folder: string;
  /** Folder of policy releases; `live` is a symbolic link to one of them. */
  let live: string;
  let service: TestService;
  let replica: ServiceProcess;
  let apiKey: string;

  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'authz-reload-'));
    live = path.join(folder, 'live');
    await release('0', '');
    await symlink('release-0', live);
    const url = await newDatabase();
    service = await startService({ DATABASE_URL: url });
    const times = { POLICY_POLL_MS: '20', POLICY_SETTLE_MS: '50', DECISION_DEADLINE_MS: '10000' };
    replica = await startProcess({ ...settingsOf(service, url), POLICY_DIR: live, ...times });
    await service.db('users').insert({ id: 'ada' });
    apiKey = await insertKey(service, { id: 'k1', user_id: 'ada' });
  });

  after(async () => {
    killProcesses();
    await service.close();
    await rm(folder, { recursive: true });
  });

  /** Makes a policy folder, which denies `account:close` by a row with this id where one is given. */
  async function release(name: string, refusing: string): Promise<string> {
    const into = path.join(folder, `release-${name}`);
    await cp(POLICY_FOLDER, into, { recursive: true });
    await writeFile(path.join(into, '80-edit.csv'), rowOf(refusing));
    // A code that no invariant names.
    if (refusing !== '')
      await appendFile(path.join(into, 'codes.yaml'), 'NOT_OPEN:\n  status: 403\n  message: Not open.\n');
    // A case that the row decides: coverage requires one.
    await writeFile(path.join(into, 'cases', 'edit.yaml'), await casesOf(refusing));
    return into;
  }

  const rowOf = (id: string): string =>
    id === '' ? '# nothing\n' : `p, ${id}, account:close, "r.key.status == 'active'", deny, NOT_OPEN\n`;

  async function casesOf(id: string): Promise<string> {
    const text = await readFile(path.join(POLICY_FOLDER, 'cases', 'rows.yaml'), 'utf8');
    const base = text.slice(text.indexOf('base:'), text.indexOf('cases:'));
    const want =
      id === '' ? 'effect: allow, code: OK, rule: allow-without-target' : `effect: deny, code: NOT_OPEN, rule: ${id}`;
    const given =
      'given: { target: { id: "", status: none, role: none, inRestriction: false }, request: { action: "account:close" } }';
    return `${base}cases:\n  - name: the edit\n    ${given}\n    want: { ${want} }\n`;
  }

  const ask = async (): Promise<Seen> => {
    const at = performance.now();
    const response = await fetch(`${replica.address}/authorize`, {
      method: 'POST',
      headers: { authorization: `Bearer ${service.token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ apiKey, action: 'account:close' }),
    });
    const body = (await response.json()) as { Code: string; Data: { policy: string } };
    expect(response.status, JSON.stringify(body)).to.equal(200);
    return { policy: body.Data.policy, code: body.Code, at };
  };

  const stateOf = async (): Promise<{
    digest: string;
    refused: { at: string; findings: { rule: string }[] } | null;
  }> => {
    const response = await fetch(`${replica.address}/policy`, {
      headers: { authorization: `Bearer ${service.token}` },
    });
    return ((await response.json()) as { Data: never }).Data;
  };

  /** Replaces the link by one to another release, atomically, as a ConfigMap mount does. */
  async function swap(to: string): Promise<void> {
    const link = path.join(folder, 'next');
    await symlink(path.basename(to), link);
    await rename(link, live);
  }

  /** Changes of the live folder that must not go live; each returns what undoes it. */
  const HARM: Readonly<Record<string, (at: string) => Promise<void>>> = {
    'a misspelt effect': (at) =>
      writeFile(path.join(at, '90-allow.csv'), 'p, all, *, "r.key.status == \'active\'", alow, OK\n'),
    'an allow for everybody': (at) =>
      writeFile(path.join(at, '05-first.csv'), 'p, all, *, "r.key.status != \'revoked\'", allow, OK\n'),
    'an empty folder': async (at) => {
      for (const name of await readdir(at)) await rm(path.join(at, name), { recursive: true });
    },
    'half a file': async (at) => {
      const file = path.join(at, '30-permission.csv');
      const text = await readFile(file, 'utf8');
      await writeFile(file, text.slice(0, text.length / 2));
    },
    'no cases': (at) => rm(path.join(at, 'cases'), { recursive: true }),
    'no invariants': (at) => rm(path.join(at, 'invariants.yaml')),
    'no folder': (at) => rm(at, { recursive: true }),
  };

  it('answers by the last policy that passed, and by no other', async () => {
    const codes = new Map<string, string>();
    const digests = new Map<string, string>();
    const seen: Seen[] = [];
    let asking = true;
    codes.set((await stateOf()).digest, 'OK');
    const clients = Array.from({ length: CLIENTS }, async () => {
      while (asking) {
        seen.push(await ask());
        await sleep(PAUSE_MS);
      }
    });

    let current = path.join(folder, 'release-0');
    let digest = (await stateOf()).digest;
    const windows: { from: number; until: number; digest: string }[] = [];
    for (let round = 1; round <= ROUNDS; round += 1) {
      const kinds = Object.entries(HARM);
      const [name, harm] = kinds[round % kinds.length] as [string, (at: string) => Promise<void>];
      if (round % 2 === 0) {
        const before = await stateOf();
        await harm(current);
        await eventually(async () => {
          const { refused } = await stateOf();
          return refused !== null && refused.at !== before.refused?.at;
        });
        expect((await stateOf()).digest, name).to.equal(digest);
        // Nothing to undo: the next release replaces it.
        continue;
      }
      const refusing = round % 4 === 1 ? `edit-${round}` : '';
      const next = await release(String(round), refusing);
      const expected = digests.get(refusing);
      const last = windows.at(-1);
      if (last) last.until = performance.now();
      await swap(next);
      await eventually(async () => {
        const state = await stateOf();
        return state.refused === null && (expected === undefined ? state.digest !== digest : state.digest === expected);
      });
      current = next;
      digest = (await stateOf()).digest;
      digests.set(refusing, digest);
      codes.set(digest, refusing === '' ? 'OK' : 'NOT_OPEN');
      windows.push({ from: performance.now(), until: Number.POSITIVE_INFINITY, digest });
    }
    await sleep(50);
    asking = false;
    await Promise.all(clients);

    expect(seen.length).to.be.above(ROUNDS * 10);
    for (const { policy, code } of seen) expect(code, policy).to.equal(codes.get(policy));
    // A request between a policy going live and the folder's next valid change is answered by that policy.
    for (const { from, until, digest: meant } of windows) {
      const during = seen.filter(({ at }) => at > from && at < until);
      expect(new Set(during.map(({ policy }) => policy))).to.deep.equal(new Set([meant]));
    }
    console.log(`      ${ROUNDS} edits, ${seen.length} answers, ${codes.size} policies`);
  }).timeout(ROUNDS * 10_000);

  it('keeps the texts of every policy that was live, and no other', async () => {
    const rows = await service.db('policies').select('digest', 'texts');
    expect(rows.length).to.be.above(1);
    for (const { texts } of rows) expect(texts['90-allow.csv']).to.contain('allow-on-target');
  });
});
