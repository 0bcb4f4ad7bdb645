/** What tests of other teams import: a policy of a folder, checked, and its decisions on plain data. */

import { type Finding, printFinding } from '../../../src/policy/folder/findings.ts';
import { buildPolicy } from '../../../src/policy/policy.ts';
import { decideIn, type Question, type Ruling } from './decide-in.ts';
import { readFolder } from './read-folder.ts';
import type { World } from './world.ts';

export type { Question, Ruling } from './decide-in.ts';
export type { World, WorldBusiness, WorldFreeze, WorldKey, WorldUser } from './world.ts';
export type { Finding };

/** The rules of a policy folder. */
export interface Rules {
  /** Of the files that a decision depends on: that of `GET /policy`, where the service has the same files. */
  readonly digest: string;
  /** The codes that its decisions can have. */
  readonly codes: readonly string[];
  /**
   * Decides as the service would if the world were as it is given.
   * @throws Failure, with a `code`: INVALID_REQUEST, and `issues`, where the service would refuse the question; UNAVAILABLE where the
   *   policy cannot decide it. TypeError: a time of the world is none
   */
  readonly decide: (question: Question, world: World) => Ruling;
}

/** A policy folder that may not go live. */
export class PolicyRefused extends Error {
  override readonly name = 'PolicyRefused';
  readonly findings: readonly Finding[];

  constructor(what: string, findings: readonly Finding[]) {
    super([`${what} is refused; correct it:`, ...findings.map((finding) => `  ${printFinding(finding)}`)].join('\n'));
    this.findings = findings;
  }
}

/**
 * The rules of a folder, once they have passed the check that the service makes of it: proofs, invariants and cases included.
 * @throws PolicyRefused; an error of the file system
 */
export const loadPolicy = async (folder: string): Promise<Rules> => rulesOf(await readFolder(folder), folder);

/** As `loadPolicy`, of texts by the names of their files: `10-api-key.csv`, `cases/order.yaml`. @throws PolicyRefused */
export async function rulesOf(texts: ReadonlyMap<string, string>, name = 'the policy'): Promise<Rules> {
  const { policy, findings } = await buildPolicy(texts);
  if (!policy) throw new PolicyRefused(name, findings);
  return Object.freeze({
    digest: policy.digest,
    codes: Object.freeze([...policy.codes.keys()]),
    decide: (question: Question, world: World) => decideIn(policy, question, world),
  });
}
