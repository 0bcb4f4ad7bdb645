/** The documents agree with the code: links, codes, settings, facts, make targets and verbs. */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'chai';
import { describeConfig } from '../src/config.ts';
import { FAILURES } from '../src/errors.ts';
import { BUILT_IN } from '../src/policy/schema.ts';
import { loadPolicy } from '../src/rollout/folder.ts';
import { authz, ROOT } from './support/cli.ts';
import { GROUPS } from './support/facts.ts';

const read = (file: string): string => readFileSync(path.join(ROOT, file), 'utf8');
const PAGES = ['.', 'docs', 'docs/adr'].flatMap((folder) =>
  readdirSync(path.join(ROOT, folder))
    .filter((name) => name.endsWith('.md'))
    .map((name) => path.join(folder, name)),
);

/** The cells of a page's table rows whose first cell matches. */
const rowsOf = (page: string, first: RegExp): string[][] =>
  read(page)
    .split('\n')
    .filter((line) => line.startsWith('| '))
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    )
    .filter(([cell = '']) => first.test(cell));

/** The anchors of a page's headings, as GitHub makes them. */
const anchorsOf = (page: string): string[] =>
  [
    ...read(page)
      .replaceAll(/^```.*?^```/gms, '')
      .matchAll(/^#+ (.*)$/gm),
  ].map(([, heading = '']) =>
    heading
      .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      .replaceAll(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  );

describe('the documents', () => {
  it('link only to what is there', () => {
    const broken = PAGES.flatMap((page) =>
      [...read(page).matchAll(/\]\((?!https?:)([^)#]+)/g)]
        .map((match) => path.join(path.dirname(page), match[1] ?? ''))
        .filter((target) => !existsSync(path.join(ROOT, target)))
        .map((target) => `${page} -> ${target}`),
    );
    expect(PAGES.length).to.be.above(8);
    expect(broken).to.deep.equal([]);
  });

  it('link only to headings that are there', () => {
    const broken = PAGES.flatMap((page) =>
      [...read(page).matchAll(/\]\((?!https?:)([^)#]*)#([^)]+)\)/g)]
        .map(([, file = '', anchor = '']) => ({
          anchor,
          target: path.join(path.dirname(page), file || path.basename(page)),
        }))
        .filter(({ anchor, target }) => target.endsWith('.md') && !anchorsOf(target).includes(anchor))
        .map(({ anchor, target }) => `${page} -> ${target}#${anchor}`),
    );
    expect(anchorsOf('docs/operations.md')).to.include('two-listeners');
    expect(broken).to.deep.equal([]);
  });

  it('list every code with its status, and no other', async () => {
    const { codes } = await loadPolicy(path.join(ROOT, 'policies'));
    const decisions = [...codes].map(([code, { status }]) => `${code} ${status}`);
    const failures = Object.entries(FAILURES).map(([code, { status }]) => `${code} ${status}`);
    const listed = (page: string) => rowsOf(page, /^[A-Z_]{2,}$/).map(([code, status]) => `${code} ${status}`);
    expect(listed('docs/errors.md')).to.have.members([...decisions, ...failures]);
    expect(listed('README.md')).to.have.members(decisions);
  });

  it('name every room and single file of src in the architecture, and only files that exist', () => {
    const page = read('docs/architecture.md');
    const named = new Set([...page.matchAll(/`([^`\n]+)`/g)].map((match) => match[1] ?? ''));
    const rooms = readdirSync(path.join(ROOT, 'src'), { recursive: true, withFileTypes: true })
      .map((entry) => ({ entry, name: path.relative(path.join(ROOT, 'src'), path.join(entry.parentPath, entry.name)) }))
      .flatMap(({ entry, name }) => {
        if (entry.isDirectory()) return `${name}/`;
        return name.includes(path.sep) ? [] : name;
      });
    expect(rooms.length).to.be.above(30);
    expect(rooms.filter((room) => !named.has(room))).to.deep.equal([]);
    const files = [...named].filter((name) =>
      /^(?:src|docs|test|policies|migrations|deploy|examples)\/[^<*]*$/.test(name),
    );
    expect(files.length).to.be.above(20);
    expect(files.filter((name) => !existsSync(path.join(ROOT, name)))).to.deep.equal([]);
  });

  it('name in the rows of "How to add" only what the code has', () => {
    const rows = read('docs/architecture.md').split('## How to add')[1] ?? '';
    const names = [...rows.matchAll(/`(\w+)`/g)].map((match) => match[1] ?? '');
    const code = ['src', 'test']
      .flatMap((folder) =>
        readdirSync(path.join(ROOT, folder), { recursive: true, encoding: 'utf8' }).map((file) =>
          path.join(folder, file),
        ),
      )
      .filter((file) => file.endsWith('.ts'))
      .map(read)
      .join('\n');
    expect(names.length).to.be.above(8);
    expect(names.filter((name) => !new RegExp(`\\b${name}\\b`).test(code))).to.deep.equal([]);
  });

  it('list every setting with its default, and no other', () => {
    const settings = describeConfig({}).map(({ name, value }) => [name, (value ?? '').replace(`${ROOT}/`, '')]);
    const listed = rowsOf('docs/operations.md', /^[A-Z_, ]+$/).flatMap(([names = '', defaults = '']) =>
      names.split(', ').map((name, index) => [name, defaults.split(', ')[index] ?? '']),
    );
    expect(listed).to.have.deep.members(settings);
  });

  it('list every fact with its values and what it says, and no other', () => {
    const listed = [...read('docs/policies.md').matchAll(/^\| `(r\.[^`]*)` \| (.*) \|$/gm)].map(
      ([, path, rest]) => `${path} | ${rest}`,
    );
    const defined = GROUPS.flatMap((group) =>
      BUILT_IN.factsOf(group).map(([fact, { type, says }]) => {
        const values =
          type === 'boolean'
            ? 'true, false'
            : type === 'text'
              ? 'text'
              : type.map((value) => `\`${value}\``).join(', ');
        return `r.${group}.${fact} | ${values} | ${says}`;
      }),
    );
    expect(listed).to.deep.equal(defined);
  });

  it('name only targets and verbs that exist', async () => {
    const targets = new Set([...read('Makefile').matchAll(/^([a-z]+):/gm)].map((match) => match[1]));
    const { stdout } = await authz(['--help']);
    const verbs = new Set([...stdout.matchAll(/^ {2}([a-z]+) /gm)].map((match) => match[1]));
    for (const page of PAGES) {
      for (const [, target] of read(page).matchAll(/`(?:\w+=\S+ )?make ([a-z]+)`|^make ([a-z]+)/gm)) {
        if (target) expect(targets, page).to.include(target);
      }
      for (const [, verb] of read(page).matchAll(/\bauthz ([a-z]+)`|npx authz ([a-z]+)/g)) {
        if (verb) expect(verbs, page).to.include(verb);
      }
    }
    expect(verbs.size).to.be.above(3);
    expect((await authz(['--help'])).code).to.equal(0);
    // Verbs are loaded as they are named, and so is what explains them.
    expect((await authz(['help', 'audit'])).stdout)
      .to.equal((await authz(['audit', '--help'])).stdout)
      .and.include('verify');
  });
});
