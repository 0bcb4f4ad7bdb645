/** What `make bench` shows of what it measured: the table, the chart, and whether a promise was held. */

import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { ROOT } from '../../src/release.ts';
import { chart } from './chart.ts';
import { notHeld, type Results, withResults, writePage } from './page.ts';
import { type Figure, holds, median, ofRounds } from './report.ts';
import { SECTIONS, TABLE } from './sections.ts';
import { ratios } from './turns.ts';

const RESULTS: Results = {
  machine: {
    date: '2026-11-30',
    commit: 'abc1234',
    cores: 2,
    processor: 'a processor',
    node: '20.20.2',
    postgres: '18.4.0',
    loadBefore: 0.1,
  },
  short: false,
  minutes: 11.041,
  figures: [
    {
      section: 's',
      name: 'one key',
      to: 'bare Koa',
      value: 1.2,
      unit: 'x',
      spread: [1.1, 1.3],
      want: { atLeast: 1.15 },
    },
    { section: 's', name: 'denials', to: 'bare Koa', value: 0.6, unit: 'x' },
    { section: 's', name: 'batches', to: 'single', value: 2, unit: 'x', want: { atLeast: 3 } },
    { section: 's', name: 'resident memory', value: 390.4, unit: 'MB', want: { atMost: 400 } },
  ],
  loads: [
    {
      section: 's',
      name: 'one key',
      rate: 20_000,
      p50: 2.345,
      p99: 9,
      cpu: { server: 40, PostgreSQL: 24.96, load: 15 },
      others: 0.04,
    },
  ],
  skipped: [{ section: 's', name: 'Cerbos', why: 'no network' }],
};
const PAGE = readFileSync(path.join(ROOT, 'docs', 'performance.md'), 'utf8');

describe('the page of the bench', () => {
  it('has each figure with its rounds, what was promised, and whether that was held', () => {
    const lines = withResults(PAGE, RESULTS).split('\n');
    for (const line of [
      '| one key ÷ bare Koa | 1.2 | 1.1 to 1.3 | at least 1.15 | held |',
      '| denials ÷ bare Koa | 0.6 |  |  |  |',
      '| batches ÷ single | 2 |  | at least 3 | **not held** |',
      '| resident memory | 390 MB |  | at most 400 | held |',
      '| one key | 20000 | 2.35 | 9 | 40 | 25 |  | 15 | 0.0 |',
      '- Cerbos: no network',
    ])
      expect(lines).to.include(line);
  });

  it('says of what commit, on what, and that a short run is none to quote', () => {
    const long = withResults(PAGE, RESULTS);
    for (const part of ['commit abc1234', '2 cores (a processor)', 'in 11 minutes']) expect(long).to.include(part);
    expect(long).not.to.include('not to be quoted');
    expect(withResults(PAGE, { ...RESULTS, short: true })).to.include('not to be quoted');
  });

  it('keeps what stands around the marks, however often it is written', () => {
    const once = withResults(PAGE, RESULTS);
    expect(withResults(once, RESULTS)).to.equal(once);
    const around = (page: string): string => page.replace(/(?<=<!-- From here)[\s\S]*(?=<!-- The end)/, '');
    expect(around(once)).to.equal(around(PAGE)).and.to.include('## How it is measured');
    expect(() => withResults('# no marks', RESULTS)).to.throw('lacks its marks');
  });

  it('is written with its numbers and its chart', async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'authz-bench-page-'));
    try {
      const file = (extension: string): string => path.join(folder, `performance.${extension}`);
      await writeFile(file('md'), PAGE);
      await writePage(folder, RESULTS);
      expect(JSON.parse(await readFile(file('json'), 'utf8'))).to.deep.equal(RESULTS);
      expect(await readFile(file('md'), 'utf8')).to.equal(withResults(PAGE, RESULTS));
      expect(await readFile(file('svg'), 'utf8')).to.equal(chart(RESULTS.figures));
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('of this checkout is what its numbers say, chart included', () => {
    const file = (extension: string): string => path.join(ROOT, 'docs', `performance.${extension}`);
    expect(existsSync(file('json'))).to.equal(true);
    const results = JSON.parse(readFileSync(file('json'), 'utf8')) as Results;
    expect(withResults(PAGE, results)).to.equal(PAGE);
    expect(readFileSync(file('svg'), 'utf8')).to.equal(chart(results.figures));
  });

  it('names sections and options of the bench, and no others', () => {
    const pages = [
      'README.md',
      'CONTRIBUTING.md',
      'CHANGELOG.md',
      'docs/performance.md',
      'docs/operations.md',
      'docs/database.md',
    ];
    const words = pages
      .flatMap((page) => [
        ...readFileSync(path.join(ROOT, page), 'utf8').matchAll(/make bench ARGS=(?:"([^"]*)"|(\S+?)[`\s])/g),
      ])
      .flatMap(([, quoted, bare]) => (quoted ?? bare ?? '').replace(/CHECKOUT|FOLDER|FILE/, '').split(/\s+/))
      .map((word) => word.replace(/[`.,;]+$/, ''))
      .filter((word) => word !== '');
    expect(words).to.include.members([TABLE, 'speed', 'records']);
    const known = [...Object.keys(SECTIONS), TABLE, '--help', '--short', '--build', '--json', '--out'];
    expect(words.filter((word) => !known.includes(word))).to.deep.equal([]);
  });
});

describe('the chart of the bench', () => {
  const svg = chart(RESULTS.figures);
  const numbers = (pattern: RegExp): number[] => [...svg.matchAll(pattern)].map(([, number]) => Number(number));

  it('has a bar for each figure that is to bare Koa, in proportion, and a mark for what is promised of it', () => {
    const [one = 0, denials = 0, ...more] = numbers(/<rect x="300" y="\d+" width="(\d+)"/g);
    expect(more).to.deep.equal([]);
    expect(one / denials).to.be.closeTo(2, 0.01);
    const [koa = 0, promised = 0, ...others] = numbers(/<line x1="(\d+)"/g);
    expect(others).to.deep.equal([]);
    expect((koa - 300) / one).to.be.closeTo(1 / 1.2, 0.01);
    expect((promised - 300) / one).to.be.closeTo(1.15 / 1.2, 0.01);
  });

  it('is text that cannot end its elements', () => {
    expect(chart([{ name: '<b> & c', to: 'bare Koa', value: 1, unit: 'x' }])).to.include('&lt;b> &amp; c');
  });
});

describe('a figure', () => {
  const figure = (value: number, want: { atLeast: number } | { atMost: number }) => ({
    name: '',
    value,
    unit: 'x',
    want,
  });

  it('holds at what was promised, in a short run within bounds, and never where nothing was measured', () => {
    expect(holds(figure(1.15, { atLeast: 1.15 }), false)).to.equal(true);
    expect(holds(figure(1.14, { atLeast: 1.15 }), false)).to.equal(false);
    expect(holds(figure(401, { atMost: 400 }), false)).to.equal(false);
    expect(holds(figure(0.5, { atLeast: 1.15 }), true)).to.equal(true);
    expect(holds(figure(0.25, { atLeast: 1.15 }), true)).to.equal(false);
    expect(holds(figure(900, { atMost: 400 }), true)).to.equal(true);
    for (const want of [{ atLeast: 0 }, { atMost: 1 }]) expect(holds(figure(Number.NaN, want), true)).to.equal(false);
    expect(holds({ name: '', value: 1, unit: 'x' }, false)).to.equal(undefined);
  });

  it('that is not held fails a run, but for a short one whose section others disturbed', () => {
    const low = { ...figure(0.1, { atLeast: 1 }), spread: [0.1, 0.1] as const };
    const failing = (short: boolean, others?: number, measured: Figure = low) =>
      notHeld({
        short,
        figures: [{ section: 'one', ...measured }],
        loads: RESULTS.loads.map((load) => ({ ...load, section: 'one', ...(others !== undefined && { others }) })),
      }).length;
    expect([failing(false, 2), failing(true, 0.1), failing(true, 2)]).to.deep.equal([1, 1, 0]);
    expect(failing(true, 2, figure(0.1, { atLeast: 1 })), 'of no round').to.equal(1);
    const elsewhere = { ...RESULTS, short: true, loads: RESULTS.loads.map((load) => ({ ...load, others: 2 })) };
    expect(notHeld({ ...elsewhere, figures: [{ section: 'other', ...low }] })).to.have.length(1);
  });

  it('of rounds is their median, of ratios within each round, to the mean of what ran beside it', () => {
    expect(ratios([10, 20, 30], [10, 40, 10], [30, 40, 20])).to.deep.equal([0.5, 0.5, 2]);
    expect(ratios([1], [])).to.deep.equal([Number.NaN]);
    expect(ofRounds([3, 1, 2])).to.deep.equal({ value: 2, spread: [1, 3] });
    expect(median([4, 1, 2, 3])).to.equal(2.5);
    expect(() => median([])).to.throw('no median');
  });
});
