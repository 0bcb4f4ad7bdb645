/**
 * A separate process that uses the embedded PostgreSQL of the build: `embedded-child.mjs DATA_DIR MODE`. It prints the outcome as a
 * line of JSON. Modes: `hold` keeps the server open until standard input ends, and ignores SIGINT; `idle` keeps it open with nothing
 * else to do; `again=N` opens and closes it N times.
 */

import pg from 'pg';

// By its address, since types are checked before the build is there.
const { openEmbedded } = await import(new URL('../../dist/src/db/embedded/server.js', import.meta.url).href);
const [dataDir = '', mode = ''] = process.argv.slice(2);
const tell = (/** @type {object} */ line) => console.log(JSON.stringify(line));

async function again(/** @type {number} */ times) {
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

async function once() {
  const { url, close } = await openEmbedded({ dataDir });
  if (mode === 'hold') {
    process.on('SIGINT', () => tell({ interrupted: true }));
    process.stdin.resume().once('end', () => close().then(() => process.exit()));
  }
  tell({ url });
}

try {
  await (mode.startsWith('again') ? again(Number(mode.split('=')[1])) : once());
} catch (error) {
  tell({ refused: String(error) });
  process.exitCode = 1;
}
