/**
 * Wrote the JSON files beside it, each once, in a checkout of an older version: facts as that version recorded them, with what it decided.
 * `node --import tsx/esm THIS > FILE` in its root, `npm ci` done. Not to be run again: what is decided today is no record of then.
 */

import path from 'node:path';

/** The modules of that version, whose types are not those of today. */
const load = (file: string) => import(path.join(process.cwd(), 'src', file));
const { readPolicyFolder } = await load('rollout/folder.ts');
const { buildPolicy } = await load('policy/policy.ts');
const { decisiveFiles } = await load('policy/folder/files.ts');
const { decide } = await load('policy/decide.ts');
const { FACTS_VERSION } = await load('policy/facts.ts');
const { BUILT_IN } = await load('policy/schema.ts');

/** Of each rule. */
const MOST = 30;
/** The values of each fact that is a text; of any other all are taken. */
const TEXTS: Readonly<Record<string, readonly string[]>> = {
  'key.id': ['', 'k-1'],
  'key.environment': ['', 'production'],
  'user.id': ['', 'u-1'],
  'target.id': ['', 'b-1', 'b-2'],
  'request.action': ['call:create', 'business:read', 'user:update', 'user:usage:read', 'account:read'],
};

const texts = await readPolicyFolder(path.join(process.cwd(), 'policies'));
const { policy, findings } = await buildPolicy(texts);
if (!policy) throw new Error(JSON.stringify(findings));

const groups: Record<string, object[]> = {};
for (const [group, facts] of Object.entries<Record<string, { type: 'text' | 'boolean' | string[] }>>(BUILT_IN.table)) {
  let combined: object[] = [{}];
  for (const [fact, { type }] of Object.entries(facts)) {
    const values = type === 'text' ? (TEXTS[`${group}.${fact}`] ?? []) : type === 'boolean' ? [false, true] : type;
    combined = combined.flatMap((rest) => values.map((value) => ({ ...rest, [fact]: value })));
  }
  groups[group] = combined;
}

let state = 1;
/** A pseudo-random number (mulberry32), so that a run can be repeated. */
const random = (below: number): number => {
  state = (state + 0x6d2b79f5) | 0;
  let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
  return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
};

const names = Object.keys(groups);
/** By rule: how many there were, and the records that were kept of them, by reservoir sampling. */
const kept = new Map<string, { count: number; records: string[] }>();
const codes: Record<string, string> = {};
const visit = (chosen: readonly number[]): void => {
  if (chosen.length < names.length) {
    for (const at of groups[names[chosen.length] ?? '']?.keys() ?? []) visit([...chosen, at]);
    return;
  }
  const facts = Object.fromEntries(names.map((name, at) => [name, groups[name]?.[chosen[at] ?? 0]]));
  try {
    BUILT_IN.read(facts);
  } catch {
    return;
  }
  const { code, rule } = decide(policy, facts);
  codes[rule] = code;
  const of = kept.get(rule) ?? { count: 0, records: [] };
  kept.set(rule, of);
  const place = of.count < MOST ? of.count : random(of.count + 1);
  of.count += 1;
  if (place < MOST) of.records[place] = `${chosen.join(' ')} ${rule}`;
};
visit([]);
const records = [...kept.values()].flatMap((of) => of.records);
if (kept.size !== policy.rows.length) throw new Error(`only ${[...kept.keys()]} decided`);

const decisive = Object.fromEntries(decisiveFiles(texts).map((name: string) => [name, texts.get(name)]));
const version = { version: FACTS_VERSION, digest: policy.digest, texts: decisive, groups, codes };
console.log(JSON.stringify({ ...version, records }, null, 1));
