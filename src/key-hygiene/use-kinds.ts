/** Kinds of findings about the use that is made of keys, credentials and callers: signs of abuse, and of slips. */

import { nearestTo } from '../nearest.ts';
import { count, type HygieneRow, instantOf, KEY, type Kind, keyOf, LIVE, listOf, type Thresholds } from './kind.ts';

const DENIED = "d.code <> 'OK'";

/*
 * Bursts, with bounded work: what was used lately is known from its keys; of these, decisions are counted by the index of key or user, up to
 * MOST_USES; and only where they are many are the windows of the days before looked at, the latest first, each as far as the decision that
 * would make it usual, and none after the first that is.
 */
const BURST = ['burstMinutes', 'burstUses', 'burstFactor', 'usualDays'] as const;
const MOST_USES = 100_000;
/** `last_used_at` is written up to a minute late. */
const USED_LATELY = (moment: string): string => `${moment} > now() - make_interval(mins => :burstMinutes + 1)`;
const SINCE = 'now() - make_interval(mins => :burstMinutes) as "since"';
const usesLately = (subject: string): string => `
  lateral (
    select count(*) as uses from (
      select from decisions d where d.${subject} and d.at > now() - make_interval(mins => :burstMinutes) limit ${MOST_USES}) recent)`;
/** No window of as many minutes, within the days before, has as much as a `burstFactor`th of the uses. */
const UNUSUAL = (subject: string, uses: string): string => `not exists (
  select from generate_series(1, :usualDays * 1440 / :burstMinutes) as before (n)
  where exists (
    select from decisions d where d.${subject} and d.at <= now() - make_interval(mins => :burstMinutes * before.n)
      and d.at > now() - make_interval(mins => :burstMinutes * (before.n + 1))
    offset ceil(${uses}::numeric / :burstFactor)::bigint - 1))`;
const manyTimes = (row: HygieneRow, { burstMinutes, burstFactor, usualDays }: Thresholds): string =>
  `${row['uses'] === MOST_USES ? 'at least ' : ''}${count(row['uses'], 'time')} within ${count(burstMinutes, 'minute')}, more than ${burstFactor} times as often as ever in the ${count(usualDays, 'day')} before`;

/** A table, and so over a screen: no kind depends on another. */
export const USE_KINDS = {
  'denial-burst': {
    needs: ['watchHours', 'burstDenials', 'burstMinutes'],
    // Sliding window: a denial ends a burst if the one `burstDenials - 1` before it is at most `burstMinutes` older.
    sql: `
      select api_key_id::text as subject, min(began) as "began", max(at) as "ended", count(*)::integer as "runs",
        mode() within group (order by code) as "code", mode() within group (order by user_id) as "userId"
      from (
        select d.api_key_id, d.user_id, d.code, d.at,
          lag(d.at, greatest(:burstDenials - 1, 0)) over (partition by d.api_key_id order by d.at, d.id) as began
        from decisions d
        where d.at > now() - make_interval(hours => :watchHours) and ${DENIED} and d.api_key_id is not null
      ) denials
      where at - began <= make_interval(mins => :burstMinutes) group by api_key_id`,
    describe: (row, { burstDenials, burstMinutes }) => ({
      says: `The key ${row.subject} of the user ${row['userId']} was denied ${burstDenials} times or more within ${burstMinutes} minutes, mostly ${row['code']}, from ${instantOf(row['began'])}.`,
      advice: 'Look at what was asked with it; revoke it if that was not its user.',
      commands: [
        `authz audit query --key ${row.subject} --effect deny --from ${instantOf(row['began'])}`,
        `authz key revoke ${row.subject} --reason "suspicious use" --yes`,
      ],
    }),
  },
  'key-burst': {
    needs: BURST,
    sql: `
      with busy as materialized (
        select k.id, k.user_id, k.friendly_name, lately.uses from audited_keys k, ${usesLately('api_key_id = k.id')} lately
        where ${LIVE} and k.created_at < now() - make_interval(days => :usualDays) and ${USED_LATELY('k.last_used_at')}
          and lately.uses >= :burstUses
      )
      select ${KEY}, k.uses::integer as "uses", ${SINCE} from busy k where ${UNUSUAL('api_key_id = k.id', 'k.uses')}`,
    describe: (row, thresholds) => ({
      says: `${keyOf(row)} was used ${manyTimes(row, thresholds)}.`,
      advice: 'Find out what changed; revoke it if that was not its user.',
      commands: [
        `authz audit query --key ${row.subject} --from ${instantOf(row['since'])}`,
        `authz key revoke ${row.subject} --reason "suspicious use" --yes`,
      ],
    }),
  },
  'user-burst': {
    needs: BURST,
    // Of keys that were made lately, too: a key that takes the place of another has no usual of its own, and its user has.
    sql: `
      with busy as materialized (
        select u.user_id, lately.uses from (
          select k.user_id from audited_keys k group by k.user_id
          having min(k.created_at) < now() - make_interval(days => :usualDays) and ${USED_LATELY('max(k.last_used_at)')}
        ) u, ${usesLately('user_id = u.user_id')} lately
        where lately.uses >= :burstUses
      )
      select u.user_id::text as subject, u.uses::integer as "uses", ${SINCE}
      from busy u where ${UNUSUAL('user_id = u.user_id', 'u.uses')}`,
    describe: (row, thresholds) => ({
      says: `The keys of the user ${row.subject} were used ${manyTimes(row, thresholds)}.`,
      advice: 'Find out what changed; see which of its keys it was, and freeze the user if it was not its own doing.',
      commands: [
        `authz audit stats --by key --user ${row.subject} --from ${instantOf(row['since'])}`,
        `authz freeze --user ${row.subject} --for 1h --reason "Unusual use is being looked into."`,
      ],
    }),
  },
  'credential-repeated': {
    needs: ['watchHours', 'credentialUses'],
    sql: `
      select d.fingerprint as subject, count(*)::integer as "uses", min(d.at) as "firstAt", max(d.at) as "lastAt",
        (array_agg(distinct d.ip) filter (where d.ip is not null))[1:5] as "addresses"
      from decisions d
      where d.at > now() - make_interval(hours => :watchHours) and ${DENIED} and d.fingerprint is not null
      group by d.fingerprint having count(*) >= :credentialUses`,
    describe: (row) => ({
      says: `One bad credential (fingerprint ${row.subject}) was used ${row['uses']} times, last at ${instantOf(row['lastAt'])}.`,
      advice: 'A client still uses a deleted key, or somebody tries a leaked one: find out who.',
      commands: addressesOf(row).map((ip) => `authz audit query --ip ${ip} --from ${instantOf(row['firstAt'])}`),
    }),
  },
  'address-many-credentials': {
    needs: ['watchHours', 'addressCredentials'],
    sql: `
      select d.ip as subject, count(distinct d.fingerprint)::integer as "credentials", count(*)::integer as "uses",
        min(d.at) as "firstAt", max(d.at) as "lastAt"
      from decisions d
      where d.at > now() - make_interval(hours => :watchHours) and ${DENIED} and d.fingerprint is not null
        and d.ip is not null
      group by d.ip having count(distinct d.fingerprint) >= :addressCredentials`,
    describe: (row) => ({
      says: `${row['credentials']} different bad credentials came from ${row.subject}, last at ${instantOf(row['lastAt'])}.`,
      advice: 'Somebody is guessing, or tries leaked credentials: block the address at your edge.',
      commands: [`authz audit query --ip ${row.subject} --from ${instantOf(row['firstAt'])}`],
    }),
  },
  'caller-refused': {
    needs: ['watchHours', 'callerRefusals'],
    // Ids of events begin with their milliseconds, and the index by action is in their order.
    sql: `
      select e.subject_kind || ':' || e.subject_id as subject, sum((r ->> 'count')::bigint)::float8 as "refusals",
        array_agg(distinct r ->> 'code') as "codes", min(e.at) as "firstAt", max(e.at) as "lastAt"
      from admin_events e, jsonb_array_elements(e.after -> 'refused') r
      where e.action = 'access.refused' and e.id > rpad(lpad(to_hex(
        (extract(epoch from now() - make_interval(hours => :watchHours)) * 1000)::bigint), 12, '0'), 32, '0')::uuid
      group by e.subject_kind, e.subject_id having sum((r ->> 'count')::bigint) >= :callerRefusals`,
    describe: (row) => {
      const [kind = '', id = ''] = row.subject.split(/:(.*)/s);
      return {
        says: `${count(row['refusals'], 'request')} of the ${kind} ${id} ${row['refusals'] === 1 ? 'was' : 'were'} refused (${listOf(row['codes']).join(', ')}), last at ${instantOf(row['lastAt'])}.`,
        advice:
          kind === 'caller'
            ? 'Give the caller the scope that it lacks, or rotate its token if somebody else has it.'
            : 'A service has a token that is none any more, or somebody guesses tokens: find out who, or block the address.',
        commands: [`authz audit admin --action access.refused --kind ${kind} --subject '${id}'`],
      };
    },
  },
  'action-unregistered': {
    needs: ['watchHours'],
    needsDeclared: 'register',
    sql: `
      select d.action as subject, count(*)::integer as "uses", count(distinct d.api_key_id)::integer as "keys",
        (array_agg(distinct d.caller_id))[1:5] as "callerIds", min(d.at) as "firstAt", max(d.at) as "lastAt"
      from decisions d
      where d.at > now() - make_interval(hours => :watchHours) and d.api_key_id is not null
        and cardinality(:register::text[]) > 0 and d.action <> all(:register::text[])
      group by d.action`,
    describe: (row, _, { register }) => {
      const nearest = nearestTo(row.subject, register);
      return {
        says: `${count(row['uses'], 'question')} with ${count(row['keys'], 'key')} asked for ${row.subject}, which is not in the register of facts.yaml, last at ${instantOf(row['lastAt'])}, by ${listOf(row['callerIds']).join(', ')}.`,
        advice:
          nearest === undefined
            ? 'Correct the service that asks, or add it to actions.known.'
            : `Did it mean ${nearest}? Correct the service that asks, or add it to actions.known.`,
        commands: [`authz audit query --action ${row.subject} --from ${instantOf(row['firstAt'])}`],
      };
    },
  },
} as const satisfies Record<string, Kind>;

const addressesOf = (row: HygieneRow): readonly string[] => listOf(row['addresses'] ?? []);
