/** Which freeze covers a question: an index, so that ten thousand of them cost a decision as little as one. */

import { patternsOf } from '../policy/action-patterns.ts';
import type { Facts } from '../policy/facts.ts';

/** A freeze covers the questions that fit all that it names. */
export interface Freeze {
  readonly id: string;
  /** A pattern; null: any action. */
  readonly action: string | null;
  readonly keyId: string | null;
  readonly userId: string | null;
  readonly businessId: string | null;
  /** Public. */
  readonly reason: string;
  /** When it ends: milliseconds since 1970, by the database's clock. */
  readonly until: number;
}

/** Freezes by what they name; each is filed once, under the first of key, user, business and action that it names. */
export interface FreezeIndex {
  readonly all: readonly Freeze[];
  readonly by: Readonly<Record<Part, ReadonlyMap<string, readonly Freeze[]>>>;
}

type Part = 'keyId' | 'userId' | 'businessId' | 'action';

export function indexFreezes(all: readonly Freeze[]): FreezeIndex {
  const by = { keyId: new Map(), userId: new Map(), businessId: new Map(), action: new Map() } as Record<
    Part,
    Map<string, Freeze[]>
  >;
  for (const freeze of all) {
    const part = (['keyId', 'userId', 'businessId'] as const).find((name) => freeze[name] !== null) ?? 'action';
    const name = freeze[part] ?? '*';
    const filed = by[part].get(name);
    if (filed) filed.push(freeze);
    else by[part].set(name, [freeze]);
  }
  return { all, by };
}

/** What a freeze can name of a question. */
export interface Coverable extends Pick<Facts, 'key' | 'user' | 'target'> {
  readonly request: Pick<Facts['request'], 'action'>;
}

/** The freeze that covers a question at `now`, a time by the database's clock; of several the one that lasts longest. */
export function covering({ all, by }: FreezeIndex, question: Coverable, now: number): Freeze | undefined {
  if (all.length === 0) return undefined;
  const { key, user, target, request } = question;
  const patterns = patternsOf(request.action);
  const candidates = [
    by.keyId.get(key.id),
    by.userId.get(user.id),
    by.businessId.get(target.id),
    ...patterns.map((pattern) => by.action.get(pattern)),
  ];
  let found: Freeze | undefined;
  for (const freezes of candidates) {
    for (const freeze of freezes ?? []) {
      const { action, keyId, userId, businessId, until } = freeze;
      const fits =
        until > now &&
        (action === null || patterns.includes(action)) &&
        (keyId === null || keyId === key.id) &&
        (userId === null || userId === user.id) &&
        (businessId === null || businessId === target.id);
      if (fits && until > (found?.until ?? 0)) found = freeze;
    }
  }
  return found;
}
