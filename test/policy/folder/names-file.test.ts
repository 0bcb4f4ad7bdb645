/** What names.yaml may say, and what not: each fault with its line and column; and that it counts in the digest of the policy. */

import { expect } from 'chai';
import { diffOf } from '../../../src/policy/analysis/diff.ts';
import type { Declaration } from '../../../src/policy/declared/declaration.ts';
import { parseFactsFile } from '../../../src/policy/folder/facts-file.ts';
import { collector, printFinding } from '../../../src/policy/folder/findings.ts';
import { parseNamesFile } from '../../../src/policy/folder/names-file.ts';
import { buildPolicy } from '../../../src/policy/policy.ts';
import { schemaOf } from '../../../src/policy/schema.ts';
import { findingsOf, shippedTexts, withFile } from '../texts.ts';

const FACTS = `
attributes: { user: { role: [admin] } }
asked: { subject_role: [admin], soft: boolean }
actions: { strict: STRICT, known: { "call:read": Look } }
`;

function read(text: string, strict = 'false') {
  const { report, all } = collector();
  const declaration: Declaration = parseFactsFile(FACTS.replace('STRICT', strict), report);
  const names = parseNamesFile(text, schemaOf(declaration), report);
  return { names, found: all().map(printFinding) };
}

describe('names.yaml', () => {
  it('maps types, actions and properties, and our own types are themselves', () => {
    const { names, found } = read(`
resources: { record: business, "https://x/y": business, me: account, __proto__: business }
actions: { read: "call:read", GET: "call:read", constructor: "call:read" }
properties: { subject.role: asked.subject_role, action.soft: asked.soft }
`);
    expect(found).to.deep.equal([]);
    expect([...names.resources]).to.deep.equal([
      ['business', 'business'],
      ['account', 'account'],
      ['record', 'business'],
      ['https://x/y', 'business'],
      ['me', 'account'],
      ['__proto__', 'business'],
    ]);
    expect([...names.actions.keys()]).to.deep.equal(['read', 'GET', 'constructor']);
    expect(names.properties).to.deep.equal([
      { of: 'subject', name: 'role', asked: 'subject_role' },
      { of: 'action', name: 'soft', asked: 'soft' },
    ]);
    for (const nothing of ['', '# nothing\n', 'resources:\n', 'actions: {}\n'])
      expect(read(nothing).found, nothing).to.deep.equal([]);
  });

  const BAD: readonly (readonly [text: string, place: string, says: string])[] = [
    ['- read\n', '1:1', 'write a map of resources, actions and properties'],
    ['action: { read: "call:read" }\n', '1:9', 'nothing reads "action"; known are resources, actions, properties'],
    ['resources: [record]\n', '1:12', 'resources is a map of names'],
    ['resources: { record: businesses }\n', '1:22', 'a type of resources means business or account, not "businesses"'],
    ['resources: { business: account }\n', '1:24', 'business is a type of ours and means itself'],
    ['resources: { record: [business] }\n', '1:22', 'record: write the one name that it means here'],
    ['resources: { "": business }\n', '1:18', '"" is no name: 1-128 characters'],
    [`resources: { ${'x'.repeat(129)}: business }\n`, '1:145', 'is no name: 1-128 characters'],
    ['actions: { read: records }\n', '1:18', 'read: "records" is no action: lower-case words joined by colons'],
    ['actions: { read: 7 }\n', '1:18', 'read: write the one name'],
    ['properties: { role: asked.subject_role }\n', '1:21', '"role" is no property; write one such as subject.role'],
    ['properties: { user.role: asked.soft }\n', '1:26', '"user.role" is no property'],
    ['properties: { subject.a.b: asked.soft }\n', '1:28', '"subject.a.b" is no property'],
    ['properties: { subject.constructor: asked.soft }\n', '1:36', '"subject.constructor" is no property'],
    [
      'properties: { subject.role: subject_role }\n',
      '1:29',
      'a property states a fact that asked in facts.yaml declares',
    ],
    ['properties: { subject.role: asked.subject_rol }\n', '1:29', 'did you mean asked.subject_role?'],
    ['properties: { subject.role: user.role }\n', '1:29', '"user.role" is none'],
    [
      'properties: { subject.role: asked.subject_role, context.role: asked.subject_role }\n',
      '1:63',
      'context.role: asked.subject_role is what subject.role states already',
    ],
    ['actions: { read: "call:read", read: "call:read" }\n', '1:31', 'Map keys must be unique'],
  ];
  for (const [text, place, says] of BAD) {
    it(`may not say ${text.trim().slice(0, 60)}`, () => {
      const { found } = read(text);
      expect(found).to.have.length(1);
      expect(found[0]).to.include(`names.yaml:${place}: `).and.to.include(says);
    });
  }

  it('names no action that a strict register lacks', () => {
    const { found } = read('actions: { read: "call:reed" }\n', 'true');
    expect(found).to.have.length(1);
    expect(found[0]).to.include('not in the register').and.to.include('call:read');
  });

  it('keeps a folder from going live that is at fault, and counts in its digest', async () => {
    const texts = await shippedTexts();
    const bad = await findingsOf(withFile(texts, 'names.yaml', 'actions: { read: records }\n'));
    expect(bad).to.deep.equal(['names.yaml:1:18 names']);
    const digestOf = async (text: string | undefined) =>
      (await buildPolicy(withFile(texts, 'names.yaml', text))).policy?.digest;
    const digests = [
      await digestOf(undefined),
      await digestOf('actions: { read: "record:read" }\n'),
      await digestOf('actions: { read: "call:read" }\n'),
    ];
    expect(new Set(digests).size).to.equal(3);
    expect(digests).to.not.include(undefined);
  });

  it('is compared by diff: what means something else, and what only one of the two maps', async () => {
    const texts = await shippedTexts();
    const policyWith = async (text: string | undefined) => {
      const { policy } = await buildPolicy(withFile(texts, 'names.yaml', text));
      if (!policy) throw new Error('the policy is refused');
      return policy;
    };
    const [none, some, other] = [
      await policyWith(undefined),
      await policyWith('resources: { record: business, me: account }\nactions: { read: "record:read" }\n'),
      await policyWith('resources: { record: business, me: business }\nactions: { look: "record:read" }\n'),
    ];
    expect(diffOf(some, some)).to.deep.include({ equivalent: true, names: [] });
    expect(diffOf(some, other)).to.deep.include({
      equivalent: false,
      changes: [],
      names: [
        { name: 'actions look', old: null, new: 'record:read' },
        { name: 'actions read', old: 'record:read', new: null },
        { name: 'resources me', old: 'account', new: 'business' },
      ],
    });
    expect(diffOf(none, some).names.map(({ name }) => name)).to.deep.equal([
      'actions read',
      'resources me',
      'resources record',
    ]);
  });
});
