/** `authz audit query`, `tail`, `show`, `stats`: what was decided, for people and for programs. */

import { type Command, Option } from 'commander';
import { recordAccess } from '../../audit/access-log.ts';
import type { DecisionRecord } from '../../audit/columns.ts';
import { decisionQuery, listDecisions } from '../../audit/query/decisions.ts';
import { showDecision } from '../../audit/query/explanation.ts';
import { type DecisionFilter, decisionRange } from '../../audit/query/filters.ts';
import { BY, countDecisions, statsQuery } from '../../audit/query/stats.ts';
import { followDecisions } from '../../audit/query/tail.ts';
import { Refusal } from '../../errors.ts';
import { idSchema, validate } from '../../input/scalars.ts';
import { withDatabase } from '../terminal/database.ts';
import { explanationText } from '../terminal/explanation.ts';
import { type Format, pageOptions, verb } from '../terminal/options.ts';
import { escaped, print, printJson } from '../terminal/output.ts';
import { show, showList, showPage } from '../terminal/records.ts';
import { FILTER_HELP, type FilterOptions, filterOptions, namesOf, withCredential } from './options.ts';

const COLUMNS = ['at', 'id', 'code', 'action', 'apiKeyId', 'userId', 'businessId', 'callerId', 'rule', 'ip'] as const;

/** Adds the verbs to `authz audit`. */
export function addDecisionVerbs(audit: Command): void {
  pageOptions(
    filterOptions(
      verb(
        audit,
        'query',
        'what was decided, newest first',
        'query --key KEY-ID --effect deny --from 2030-01-31T00:00:00Z',
      ),
    ),
  )
    .addHelpText('after', FILTER_HELP)
    .action(query);
  filterOptions(
    verb(audit, 'tail', 'follow what is decided, until it is interrupted', 'tail --effect deny --json | jq .code'),
  ).action(tail);
  verb(audit, 'show <id>', 'one decision, on which facts, and why', 'show 019ac3f0-6f4e-7c1a-9d3e-0b6f5a1c2d3e').action(
    showVerb,
  );
  filterOptions(verb(audit, 'stats', 'how many decisions, by what', 'stats --by code --from 2030-01-01T00:00:00Z'))
    .addOption(new Option('--by <what>', 'what to count by').choices(BY).default('code'))
    .option('--limit <n>', 'how many groups, 1 to 200, the largest first', '50')
    .addHelpText('after', FILTER_HELP)
    .action(stats);
}

const query = (options: FilterOptions & { limit: string; cursor?: string }): Promise<void> =>
  withDatabase(async (opened) => {
    const { db, actor, cursors } = opened;
    const named = { ...namesOf(options), limit: options.limit, cursor: options.cursor };
    const { limit, cursor, ...given } = validate(decisionQuery, named);
    const filter = await withCredential(opened, options, given);
    const page = await listDecisions(db, filter, { limit, cursor }, cursors);
    await recordAccess(db, actor, 'query', { ...filter, from: page.from, limit, cursor });
    showPage(page, COLUMNS, options);
    if (!options.json) print(`\nfrom ${page.from} to ${page.to ?? 'now'}`);
    if (!options.json && page.note) print(`\n${page.note}`);
  });

const stats = (options: FilterOptions & { by: string; limit: string }): Promise<void> =>
  withDatabase(async (opened) => {
    const { db, actor } = opened;
    const { by, limit, ...given } = validate(statsQuery, { ...namesOf(options), by: options.by, limit: options.limit });
    const filter = await withCredential(opened, options, given);
    const counted = await countDecisions(db, by, filter, limit);
    await recordAccess(db, actor, 'stats', { ...filter, from: counted.from, by });
    if (options.json) return printJson(counted);
    const share = (count: number) => `${((100 * count) / Math.max(counted.total, 1)).toFixed(1)} %`;
    showList(
      counted.groups.map(({ value, count }) => ({ [by]: value, decisions: count, share: share(count) })),
      [by, 'decisions', 'share'] as never[],
      {},
    );
    print(`\n${counted.total} decisions from ${counted.from} to ${counted.to ?? 'now'}, ${counted.distinct} different`);
    if (counted.note) print(counted.note);
  });

const showVerb = (id: string, { json }: Format): Promise<void> =>
  withDatabase(async ({ db, actor }) => {
    const { explanation, note, ...record } = await showDecision(db, actor, validate(idSchema, id));
    if (json) return printJson({ ...record, explanation, note });
    show(record, {});
    if (note !== null) print(`\n${escaped(note)}`);
    if (explanation !== null) print(`\nWhy, by the policy of its time:\n\n${explanationText(explanation)}`);
  });

const tail = ({ from, to, ...options }: FilterOptions): Promise<void> =>
  withDatabase(async (opened) => {
    if (from !== undefined || to !== undefined)
      throw new Refusal('tail shows what comes from now on; for a time range there is authz audit query');
    const { db, actor } = opened;
    const filter = await withCredential(opened, options, validate(decisionRange, namesOf(options)));
    await recordAccess(db, actor, 'tail', filter);
    await follow(filter, db, options);
  });

/** Ends at SIGINT or SIGTERM, and at EPIPE: the reader closed the pipe. */
async function follow(filter: DecisionFilter, db: Parameters<typeof followDecisions>[0], { json }: Format) {
  const stop = new AbortController();
  const end = (): void => stop.abort();
  const broken = (error: NodeJS.ErrnoException): void => {
    if (error.code !== 'EPIPE') throw error;
    end();
  };
  process.once('SIGINT', end).once('SIGTERM', end);
  process.stdout.on('error', broken);
  try {
    let announced = false;
    for await (const records of followDecisions(db, filter, stop.signal)) {
      if (!announced) process.stderr.write('following the decision log; interrupt to end\n');
      announced = true;
      for (const record of records) print(json ? JSON.stringify(record) : lineOf(record));
    }
  } finally {
    process.off('SIGINT', end).off('SIGTERM', end);
    process.stdout.off('error', broken);
  }
}

const lineOf = (record: DecisionRecord): string => COLUMNS.map((column) => escaped(record[column] ?? '-')).join('  ');
