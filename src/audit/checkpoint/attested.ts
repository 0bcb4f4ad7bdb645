/**
 * What the checkpoints outside the database attest, whatever a database says: how far each chain went, and which events of administration
 * there were. After a restore the database knows less than they do, or has taken their numbers for others.
 */

import { Refusal } from '../../errors.ts';
import { type Checkpoint, parseLine, signedBytes } from '../format/checkpoint-line.ts';
import { linesOf } from '../format/file-lines.ts';
import { ADMINISTRATION, chainOf, createHeads, type Head, type Heads } from '../format/heads.ts';
import { signatureChecker } from '../format/signatures.ts';

/** A checkpoint, as messages name it. */
export interface Mark {
  readonly number: number;
  readonly at: string;
}

export interface Attested {
  /** Of each chain the head with the most records, and the first checkpoint that has it. */
  readonly longest: ReadonlyMap<string, { readonly head: Head; readonly by: Mark }>;
  /** `${records} ${hash}` of the chain of administration -> the first checkpoint that says so. */
  readonly events: ReadonlyMap<string, Mark>;
  /** The latest by its time. */
  readonly last: Mark | undefined;
  /** Checkpoints that attest nothing: a signature or a key that is not accepted, or a root that is not that of the heads. */
  readonly refused: readonly string[];
}

/**
 * Reads the files, writer by writer as docs/audit.md, "Verifying without our code", says; numbers are no order here. `onLine` gets each
 * line as it stands, with the checkpoint that it is.
 * @throws Refusal when a file cannot be read
 */
export async function readAttested(
  files: readonly string[],
  publicKeys: ReadonlySet<string> | undefined,
  onLine: (text: string, checkpoint: Checkpoint | undefined) => void = () => undefined,
): Promise<Attested> {
  const writers = new Map<string, Heads>();
  const longest = new Map<string, { head: Head; by: Mark }>();
  const events = new Map<string, Mark>();
  const refused: string[] = [];
  const verify = signatureChecker();
  let last: Mark | undefined;

  /** Why it attests nothing; undefined: it attests its heads. */
  const faultOf = (checkpoint: Checkpoint): string | undefined => {
    const { writer, size, root, publicKey, signature } = checkpoint;
    if (publicKeys !== undefined && !publicKeys.has(publicKey)) return 'is signed with a key that is not accepted';
    if (!verify(publicKey, signedBytes(checkpoint), signature)) return 'has a signature that is wrong';
    const heads = writers.get(writer) ?? createHeads();
    writers.set(writer, heads);
    if (checkpoint.heads.length === size) heads.clear();
    heads.put(checkpoint.heads);
    // INVARIANT: the signature is of the root alone, so heads that do not make that root are attested by nobody.
    return heads.size() === size && heads.root() === root ? undefined : 'has a root that is not the one of its heads';
  };

  const take = (checkpoint: Checkpoint, where: string): void => {
    const { number, at } = checkpoint;
    const fault = faultOf(checkpoint);
    if (fault !== undefined) {
      refused.push(`checkpoint ${number} of ${at} (${where}) ${fault}`);
      return;
    }
    const by = { number, at };
    if (last === undefined || last.at <= at) last = by;
    for (const head of checkpoint.heads) {
      const chain = chainOf(head);
      if ((longest.get(chain)?.head.records ?? 0) < head.records) longest.set(chain, { head, by });
      const place = placeOf(head.records, head.hash);
      if (head.boot === ADMINISTRATION.boot && !events.has(place)) events.set(place, by);
    }
  };

  for (const file of files) {
    try {
      for await (const { text, number } of linesOf(file)) {
        if (text === '') continue;
        const line = parseLine(text);
        const checkpoint = line.type === 'checkpoint' ? line : undefined;
        if (checkpoint) take(checkpoint, `${file}:${number}`);
        onLine(text, checkpoint);
      }
    } catch (error) {
      throw new Refusal(`the checkpoints cannot be read: ${(error as Error).message}`);
    }
  }
  return { longest, events, last, refused };
}

/** How `events` names the end of the chain at event `seq`. */
export const placeOf = (seq: number, hash: string): string => `${seq} ${hash}`;
