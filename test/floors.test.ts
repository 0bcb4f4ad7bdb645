/**
 * The floors of docs/architecture.md: imports run downwards only, type imports included; there is no circle; and each library
 * is imported in its own room only. Add a new room to FLOORS, at the height that its imports need.
 */

import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'chai';

const SOURCE = path.join(import.meta.dirname, '..', 'src');

/**
 * From the roof down. An entry is a folder with all that is in it, or a single file; the longest that fits a file counts.
 * What stands on one floor may import each other, as long as no circle comes of it, unless APART says otherwise.
 */
const FLOORS: readonly (readonly string[])[] = [
  ['main'],
  ['run-cli'],
  ['cli/verbs'],
  ['cli/restore'],
  ['cli/audit', 'cli/demo', 'cli/directory', 'cli/health', 'cli/policy'],
  ['cli/terminal'],
  ['http/server'],
  ['http/app'],
  ['http/routes'],
  ['http/access', 'http/gateway'],
  ['http'],
  ['service'],
  ['telemetry'],
  ['database'],
  ['authorize', 'metrics', 'readiness', 'verdicts'],
  ['watching'],
  ['audit/report'],
  ['key-hygiene'],
  ['audit/retention', 'restore'],
  ['audit/query', 'audit/verify'],
  ['audit/checkpoint', 'audit/record'],
  ['audit/format'],
  ['audit'],
  ['search', 'what-if'],
  ['limits', 'rollout'],
  ['freezes', 'keys'],
  ['directory'],
  ['facts'],
  ['config'],
  ['settings'],
  ['setting-forms'],
  ['credentials'],
  ['db'],
  ['input'],
  ['policy/explain', 'policy/memo', 'policy/replay'],
  ['policy/policy'],
  ['policy/analysis'],
  ['policy/folder'],
  ['policy/casbin'],
  ['policy/decide'],
  ['policy', 'policy/declared'],
  [
    'awaitable',
    'deadline',
    'histogram',
    'log',
    'loop',
    'metric',
    'secret-file',
    'setting-file',
    'sparingly',
    'turns',
    'uuid',
  ],
  ['npm-ancestors', 'otel-settings', 'release', 'service-name'],
  ['mask', 'nearest'],
  ['token-form'],
  ['errors'],
];

/** Pairs of rooms that never import each other, in either direction. */
const APART: readonly (readonly [string, string])[] = [
  ['cli', 'http'],
  ['cli/audit', 'cli/directory'],
  ['cli/audit', 'cli/policy'],
  ['cli/directory', 'cli/policy'],
  ['audit/query', 'audit/verify'],
  ['audit/verify', 'audit/record'],
  ['audit/checkpoint', 'audit/record'],
  ['policy', 'db'],
];

/** A house, and all that it may import from outside itself: policy/ is to be a package of its own. */
const CLOSED: Readonly<Record<string, readonly string[]>> = { policy: ['errors', 'mask', 'nearest'] };

/** Library -> the rooms that may import it; types are free, except Casbin's. */
const LIBRARIES: Readonly<Record<string, readonly string[]>> = {
  casbin: ['policy/casbin'],
  '@casbin/expression-eval': ['policy/casbin'],
  jsep: ['policy/casbin'],
  koa: ['http/app'],
  '@koa/router': ['http'],
  knex: ['db'],
  pg: ['db'],
  'pg-copy-streams': ['db', 'directory'],
  opossum: ['db'],
  pino: ['log'],
  'ip-address': ['policy/declared'],
  'lru-cache': ['facts'],
  ioredis: ['limits'],
  'prom-client': ['metrics'],
  canonicalize: ['audit/verify'],
  commander: ['run-cli', 'cli'],
  'fastest-levenshtein': ['nearest'],
  '@opentelemetry/api': ['telemetry'],
  '@opentelemetry/otlp-transformer': ['telemetry'],
  '@opentelemetry/resources': ['telemetry'],
  '@opentelemetry/sdk-trace': ['telemetry'],
};
const TYPES_TOO = ['casbin', '@casbin/expression-eval', 'jsep'];

interface Import {
  readonly file: string;
  readonly to: string;
  readonly typeOnly: boolean;
  readonly lazy: boolean;
}

const files = readdirSync(SOURCE, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts'))
  .map((file) => file.replaceAll(path.sep, '/'));

const imports: Import[] = files.flatMap((file) => {
  const text = readFileSync(path.join(SOURCE, file), 'utf8');
  return [
    ...text.matchAll(
      /^(?:import|export)\b(?<head>[^;']*?)\bfrom '(?<to>[^']+)';|^import '(?<bare>[^']+)';|\bimport\('(?<lazy>[^']+)'\)/gms,
    ),
  ].map(({ groups = {} }) => ({
    file,
    to: groups['to'] ?? groups['bare'] ?? groups['lazy'] ?? '',
    typeOnly: /^\s*type\b/.test(groups['head'] ?? ''),
    lazy: groups['lazy'] !== undefined,
  }));
});

/** Imports of our own files, with the file that is imported. */
const inside = imports
  .filter(({ to }) => to.startsWith('.'))
  .map(({ file, to }) => ({ file, target: path.posix.join(path.posix.dirname(file), to) }));

const isIn = (file: string, room: string): boolean => file === `${room}.ts` || file.startsWith(`${room}/`);
const roomOf = (file: string): string =>
  FLOORS.flat()
    .filter((room) => isIn(file, room))
    .sort((a, b) => b.length - a.length)[0] ?? '';
const floorOf = (file: string): number => FLOORS.findIndex((floor) => floor.includes(roomOf(file)));
const print = ({ file, target }: { file: string; target: string }): string => `${file} imports ${target}`;

describe('the source', () => {
  it('has a floor for every file, and no floor without files', () => {
    expect(files.filter((file) => roomOf(file) === '')).to.deep.equal([]);
    expect(FLOORS.flat().filter((room) => !files.some((file) => roomOf(file) === room))).to.deep.equal([]);
    expect(inside.length).to.be.above(500);
  });

  it('imports downwards only', () => {
    const upwards = inside.filter(({ file, target }) => !target.startsWith('..') && floorOf(target) < floorOf(file));
    expect(upwards.map(print)).to.deep.equal([]);
  });

  for (const [one, other] of APART) {
    it(`keeps ${one} and ${other} apart`, () => {
      const between = inside.filter(
        ({ file, target }) => (isIn(file, one) && isIn(target, other)) || (isIn(file, other) && isIn(target, one)),
      );
      expect(between.map(print)).to.deep.equal([]);
    });
  }

  for (const [house, allowed] of Object.entries(CLOSED)) {
    it(`lets ${house} import ${allowed.join(', ')} only`, () => {
      const strays = inside.filter(
        ({ file, target }) => isIn(file, house) && ![house, ...allowed].some((room) => isIn(target, room)),
      );
      expect(strays.map(print)).to.deep.equal([]);
    });
  }

  it('imports only the migrations from outside src/', () => {
    const outside = inside.filter(({ target }) => target.startsWith('..'));
    expect(outside.map(print)).to.deep.equal(['db/schema.ts imports ../migrations/index.ts']);
  });

  it('has no circles between files, type imports included', () => {
    expect(
      circlesOf(files, (file) => inside.filter((one) => one.file === file).map(({ target }) => target)),
    ).to.deep.equal([]);
  });

  it('has no circles between houses', () => {
    const houseOf = (file: string): string => (file.split('/')[0] ?? '').replace(/\.ts$/, '');
    const targetsOf = (house: string): string[] =>
      inside
        .filter(({ file, target }) => houseOf(file) === house && houseOf(target) !== house)
        .map(({ target }) => houseOf(target));
    expect(circlesOf([...new Set(files.map(houseOf))], targetsOf)).to.deep.equal([]);
  });

  it('finds a circle where there is one', () => {
    const arrows: Record<string, string[]> = { a: ['b'], b: ['c', 'd'], c: ['a'], d: [] };
    expect(circlesOf(Object.keys(arrows), (name) => arrows[name] ?? [])).to.deep.equal(['a -> b -> c -> a']);
  });

  it('loads telemetry, and so OpenTelemetry, by import() alone', () => {
    const loading = imports.filter(
      ({ file, to, typeOnly }) => /\btelemetry\//.test(to) && !typeOnly && !isIn(file, 'telemetry'),
    );
    expect(loading.map(({ file, lazy }) => [file, lazy])).to.deep.equal([['service.ts', true]]);
  });

  it('imports each library in its own room only', () => {
    const strays = imports.filter(
      ({ to, file, typeOnly }) =>
        LIBRARIES[to] && (!typeOnly || TYPES_TOO.includes(to)) && !LIBRARIES[to].some((room) => isIn(file, room)),
    );
    expect(strays.map(({ file, to }) => `${file} imports ${to}`)).to.deep.equal([]);
  });

  it('reads the process in main.ts only: its environment, arguments, streams, exit code', () => {
    const GLOBALS = /\bprocess\.(?:env|argv|stdin|stdout|stderr|exitCode|exit\b)/;
    const readers = files.filter((file) => GLOBALS.test(readFileSync(path.join(SOURCE, file), 'utf8')));
    // A check of a policy is a process of its own; a log without another stream is that of the process.
    expect(readers.toSorted()).to.deep.equal(['log.ts', 'main.ts', 'rollout/check-process.ts']);
  });
});

/** Depth-first search: each circle once, from where it is first entered. */
function circlesOf(names: readonly string[], targetsOf: (name: string) => readonly string[]): string[] {
  const circles: string[] = [];
  const done = new Set<string>();
  const visit = (name: string, trail: readonly string[]): void => {
    if (trail.includes(name)) circles.push([...trail.slice(trail.indexOf(name)), name].join(' -> '));
    if (trail.includes(name) || done.has(name)) return;
    for (const target of targetsOf(name)) visit(target, [...trail, name]);
    done.add(name);
  };
  for (const name of names) visit(name, []);
  return circles;
}
