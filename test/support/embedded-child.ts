/**
 * A separate process that uses the embedded PostgreSQL: `embedded-child.ts DATA_DIR MODE`. It prints the outcome as a line of
 * JSON. Modes: `hold` keeps the server open until standard input ends, and ignores SIGINT; `idle` keeps it open with nothing
 * else to do; `again` opens and closes it over and over.
 */

import pg from 'pg';
import { openEmbedded } from '../../src/db/embedded/server.ts';

const [dataDir = '', mode] = process.argv.slice(2);
const tell = (line: object): void => console.log(JSON.stringify(line));

async function again(times: number): Promise<void> {
  for (let time = 0; time < times; time++) {
    const { url, close } = await openEmbedded({ dataDir });
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    await client.query('select 1');
    await client.end();
    await close();
  }
  tell({ url: '' });
}

async function once(): Promise<void> {
  const { url, close } = await openEmbedded({ dataDir });
  if (mode === 'hold') {
    process.on('SIGINT', () => tell({ interrupted: true }));
    process.stdin.resume().once('end', () => close().then(() => process.exit()));
  }
  tell({ url });
}

try {
  await (mode === 'again' ? again(10) : once());
} catch (error) {
  tell({ refused: String(error) });
  process.exitCode = 1;
}
