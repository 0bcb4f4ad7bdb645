/** The houses and floors of the architecture: imports run downwards only, and each library stays in its house. */

import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'chai';

const SOURCE = path.join(import.meta.dirname, '..', 'src');

/** From the roof down. Modules of one floor may use each other, as long as no circle comes of it. */
const FLOORS: readonly (readonly string[])[] = [
  ['main'],
  ['cli', 'http'],
  ['service'],
  ['database'],
  ['authorize', 'metrics'],
  ['facts', 'keys', 'directory', 'audit', 'key-hygiene', 'limits', 'rollout', 'config'],
  ['db', 'policy'],
  ['input'],
  ['deadline', 'log', 'secret-file', 'uuid'],
  ['errors'],
];

/** Library -> the houses that may import it; types are free. */
const LIBRARIES: Readonly<Record<string, readonly string[]>> = {
  casbin: ['policy'],
  '@casbin/expression-eval': ['policy'],
  koa: ['http'],
  '@koa/router': ['http'],
  knex: ['db'],
  pg: ['db'],
  'pg-copy-streams': ['db', 'directory'],
  opossum: ['db'],
  pino: ['log'],
  'lru-cache': ['facts'],
  'rate-limiter-flexible': ['limits'],
  ioredis: ['limits'],
  'prom-client': ['metrics'],
  canonicalize: ['audit'],
  commander: ['main', 'cli'],
};

interface Import {
  readonly file: string;
  readonly from: string;
  readonly to: string;
  readonly typeOnly: boolean;
}

const houseOf = (file: string): string => (file.split(path.sep)[0] ?? '').replace(/\.ts$/, '');
const floorOf = (house: string): number => FLOORS.findIndex((floor) => floor.includes(house));

const files = readdirSync(SOURCE, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));

const imports: Import[] = files.flatMap((file) => {
  const text = readFileSync(path.join(SOURCE, file), 'utf8');
  return [
    ...text.matchAll(/^(?:import|export)\b(?<head>[^;']*?)\bfrom '(?<to>[^']+)';|^import '(?<bare>[^']+)';/gms),
  ].map((match) => ({
    file,
    from: houseOf(file),
    to: match.groups?.['to'] ?? match.groups?.['bare'] ?? '',
    typeOnly: /^\s*type\b/.test(match.groups?.['head'] ?? ''),
  }));
});

const inside = imports
  .filter(({ to }) => to.startsWith('.'))
  .map((entry) => ({
    ...entry,
    target: path.relative(SOURCE, path.resolve(SOURCE, path.dirname(entry.file), entry.to)),
  }));

describe('the source', () => {
  it('has a floor for every module', () => {
    expect(files.map(houseOf).filter((house) => floorOf(house) === -1)).to.deep.equal([]);
    expect(imports.length).to.be.above(100);
  });

  it('imports downwards only', () => {
    const upwards = inside.filter(
      ({ from, target }) => !target.startsWith('..') && floorOf(houseOf(target)) < floorOf(from),
    );
    expect(upwards.map(({ file, to }) => `${file} imports ${to}`)).to.deep.equal([]);
  });

  it('keeps http and cli apart', () => {
    const pairs = inside.map(({ from, target }) => `${from} ${houseOf(target)}`);
    expect(pairs).to.not.include('http cli');
    expect(pairs).to.not.include('cli http');
  });

  it('reaches outside itself for the migrations only', () => {
    const outside = inside
      .filter(({ target }) => target.startsWith('..'))
      .map(({ file, target }) => `${file} ${target}`);
    expect(outside).to.deep.equal([`db${path.sep}migrate.ts ${path.join('..', 'migrations', 'index.ts')}`]);
  });

  it('has no circles between modules', () => {
    const circles: string[] = [];
    const visit = (file: string, trail: readonly string[]): void => {
      if (trail.includes(file)) circles.push([...trail.slice(trail.indexOf(file)), file].join(' -> '));
      else
        for (const { target, typeOnly } of inside.filter((entry) => entry.file === file))
          if (!typeOnly) visit(target, [...trail, file]);
    };
    for (const file of files) visit(file, []);
    expect(circles).to.deep.equal([]);
  });

  it('imports each library in its own house only', () => {
    const strays = imports.filter(
      ({ to, from, typeOnly }) => !typeOnly && LIBRARIES[to] && !LIBRARIES[to].includes(from),
    );
    expect(strays.map(({ file, to }) => `${file} imports ${to}`)).to.deep.equal([]);
  });

  it('reads the environment in config.ts only', () => {
    const readers = files.filter((file) => /process\.env\b/.test(readFileSync(path.join(SOURCE, file), 'utf8')));
    expect(readers).to.deep.equal(['config.ts']);
  });
});
