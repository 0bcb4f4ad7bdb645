/** The chains against their heads: steps 1 to 3 and 8 of docs/audit.md, "Verifying without our code". */

import { type Head, hashOfEvent, must, nameOf, personalDigest, type Value, ZEROS } from './encoding.ts';
import { dayOf, type Event, hashOfRow, type Row, type Tables } from './tables.ts';

/** The chain of administration. */
export const ADMINISTRATION = { boot: '00000000-0000-0000-0000-000000000000', day: '1970-01-01' };

const READS = new Set(
  ['query', 'show', 'stats', 'export', 'tail', 'findings', 'replay', 'shadow', 'admin'].map((read) => `audit.${read}`),
);

/** Step 3, and that an event says of each erasure. */
function checkPersonal(row: Row, events: readonly Event[]): void {
  const { personal_salt: salt, id, at } = row;
  const [ip, userAgent] = [row['ip'] as Value, row['user_agent'] as Value];
  if (salt !== null) {
    must(personalDigest(salt, ip, userAgent).equals(row.personal_digest), `the personal data of ${id} are others`);
    return;
  }
  must(ip === null && userAgent === null, `${id} has personal data without a salt`);
  const told = events.some(
    (event) =>
      event['action'] === 'audit.erase' &&
      Date.parse(event['at'] ?? '') >= at.getTime() &&
      ((event['subject_kind'] === 'user' && event['subject_id'] === row['user_id']) ||
        (event['subject_kind'] === 'key' && event['subject_id'] === row['api_key_id'])),
  );
  must(told, `nobody recorded that ${id} was erased`);
}

/** Steps 1 and 3. */
function checkChain(name: string, head: Head, rows: readonly Row[], events: readonly Event[]): void {
  must(head.format === 1, `${name} has an unknown format`);
  let previous = head.opening;
  for (const [index, row] of rows.entries()) {
    must(row.seq === String(index + 1), `${row.id} has number ${row.seq} in the place ${index + 1} of ${name}`);
    checkPersonal(row, events);
    const hash = hashOfRow(previous, row);
    must(row.hash.toString('hex') === hash, `number ${row.seq} of ${name} is not what was hashed`);
    previous = hash;
  }
  must(head.records === rows.length, `${name} has ${rows.length} records, and its head counts ${head.records}`);
  must(head.hash === previous, `${name} does not end with its head`);
}

/** Step 2, of the boots of which no chain was pruned. */
function checkOpenings({ chains, heads }: Tables, dropped: ReadonlySet<string>): void {
  const bootOf = new Map<string, string>();
  for (const rows of chains.values()) for (const { hash, boot } of rows) bootOf.set(hash.toString('hex'), boot);
  const all = [...heads.values()];
  const pruned = new Set(all.filter(({ day }) => dropped.has(day)).map(({ boot }) => boot));
  const firsts = new Map<string, number>();
  for (const { boot, day, opening } of all) {
    if (pruned.has(boot)) continue;
    const first = opening === ZEROS;
    firsts.set(boot, (firsts.get(boot) ?? 0) + (first ? 1 : 0));
    must(first || bootOf.get(opening) === boot, `${nameOf({ boot, day })} opens with no record of its boot`);
  }
  for (const [boot, count] of firsts) must(count === 1, `${count} chains of ${boot} open with zeros`);
}

/** Steps 1 to 3. `dropped`: the days of which nothing is left, and nothing needs to be. */
export function checkChains(tables: Tables, dropped: ReadonlySet<string>): void {
  const { chains, heads, events } = tables;
  for (const [name, rows] of chains) {
    const head = heads.get(name);
    must(head !== undefined, `${name} has no head`);
    checkChain(name, head, rows, events);
  }
  for (const [name, { day }] of heads) must(chains.has(name) || dropped.has(day), `${name} has no records`);
  checkOpenings(tables, dropped);
}

/** The days of the rows. */
export const daysOf = ({ chains }: Tables): Set<string> =>
  new Set([...chains.values()].flatMap((rows) => rows.map(dayOf)));

const timeOfId = (id: Value): string =>
  new Date(Number.parseInt((id ?? '').replace('-', '').slice(0, 12), 16)).toISOString();

/** Step 8: the events that have a place, in its order. */
export function checkEvents({ events, ending }: Tables): Event[] {
  const chained = events.filter(({ seq }) => seq !== null);
  let previous = ZEROS;
  for (const [index, event] of chained.entries()) {
    const { seq = null, id = null, at = null, chained_at = null, action = null } = event;
    must(seq === String(index + 1), `the event ${id} has number ${seq} in the place ${index + 1}`);
    must(timeOfId(id) === at, `the id of the event ${id} has another time`);
    must(at === chained_at || READS.has(action ?? ''), `the event ${id} took its place at another time`);
    previous = hashOfEvent(Buffer.from(previous, 'hex'), event).toString('hex');
    must(event['hash'] === previous, `the event ${id} is not what was hashed`);
  }
  must(ending.events === chained.length && ending.hash === previous, 'the events do not end with their head');
  for (const { seq, id, action } of events)
    must(seq !== null || READS.has(action ?? ''), `the event ${id} stands outside of the chain`);
  return chained;
}
