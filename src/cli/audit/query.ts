/** `authz audit query`, `tail`, `show`, `stats`: what was decided, for people and for programs. */

import type { Command } from 'commander';
import { recordAccess } from '../../audit/access-log.ts';
import { decisionQuery, listDecisions } from '../../audit/query/decisions.ts';
import { BY } from '../../audit/query/dimensions.ts';
import { showDecision } from '../../audit/query/explanation.ts';
import { type DecisionFilter, decisionRange } from '../../audit/query/filters.ts';
import { countDecisions, statsQuery } from '../../audit/query/stats.ts';
import { followDecisions } from '../../audit/query/tail.ts';
import { Refusal } from '../../errors.ts';
import { idSchema, validate } from '../../input/scalars.ts';
import { type PresentDatabase, withPresentDatabase } from '../terminal/database.ts';
import { explanationText } from '../terminal/explanation.ts';
import { fixedOptions, periodText, readPeriod } from '../terminal/moment.ts';
import { listOptions, type TableOptions, verb, wideOption } from '../terminal/options.ts';
import { escaped, plural } from '../terminal/output.ts';
import { show, showPage } from '../terminal/records.ts';
import type { Terminal } from '../terminal/terminal.ts';
import { type Clock, readClock } from '../terminal/zone.ts';
import { showCounts } from './counts.ts';
import { FILTER_HELP, type FilterOptions, filterOptions, namesOf } from './options.ts';
import { searchProgress } from './search-progress.ts';
import { COLUMNS, IMPORTANCE, shownDecisions, tailLine } from './shown-decisions.ts';
import { wholeFilter } from './whole-filter.ts';

/** Adds the verbs to `authz audit`. */
export function addDecisionVerbs(audit: Command, terminal: Terminal): void {
  listOptions(
    filterOptions(
      verb(audit, 'query', 'what was decided, newest first', 'query --key KEY-ID --effect deny --on tuesday'),
    ),
  )
    .addHelpText('after', FILTER_HELP)
    .action((options: QueryOptions) => query(terminal, options));
  wideOption(
    filterOptions(
      verb(audit, 'tail', 'follow what is decided, until it is interrupted', 'tail --effect deny --json | jq .code'),
    ),
  ).action((options: FilterOptions) => tail(terminal, options));
  filterOptions(
    verb(
      audit,
      'show [id]',
      'one decision, on which facts, and why: by its id, or the last one of a filter',
      'show --key ada-main --effect deny',
    ),
  ).action((id: string | undefined, options: FilterOptions) => showVerb(terminal, id, options));
  wideOption(filterOptions(verb(audit, 'stats', 'how many decisions, by what', 'stats --by code --from 7d')))
    .option('--by <what>', `one, or two with a comma between, of ${BY.join(', ')}`, 'code')
    .option('--limit <n>', 'how many groups, 1 to 200, the largest first', '50')
    .addHelpText('after', FILTER_HELP)
    .action((options: StatsOptions) => stats(terminal, options));
}

type QueryOptions = FilterOptions & { limit: string; cursor?: string };

const query = (terminal: Terminal, options: QueryOptions): Promise<void> =>
  withPresentDatabase(terminal, async (opened) => {
    const { db, actor, cursors } = opened;
    const period = readPeriod(options, terminal.env);
    const named = { ...namesOf(options, period), limit: options.limit, cursor: options.cursor };
    const { limit, cursor, ...given } = validate(decisionQuery, named);
    const filter = await wholeFilter(terminal, opened, options, 'query', given);
    const search = searchProgress(terminal, filter);
    const page = await listDecisions(db, filter, { limit, cursor }, cursors, search.onSearched).finally(search.end);
    await recordAccess(db, actor, 'query', { ...filter, from: page.from, limit, cursor });
    if (options.json) return terminal.printJson(page);
    const shown = { ...page, items: await shownDecisions(db, page.items, period.clock) };
    showPage(terminal, shown, COLUMNS, options, { again: fixedOptions(period, options), importance: IMPORTANCE });
    terminal.print(`\n${periodText(page, period.clock)}`);
    if (page.note) terminal.print(`\n${page.note}`);
  });

type StatsOptions = FilterOptions & { by: string; limit: string };

const stats = (terminal: Terminal, options: StatsOptions): Promise<void> =>
  withPresentDatabase(terminal, async (opened) => {
    const { db, actor } = opened;
    const period = readPeriod(options, terminal.env);
    const { by, limit, ...given } = validate(statsQuery, {
      ...namesOf(options, period),
      by: options.by,
      limit: options.limit,
    });
    const filter = await wholeFilter(terminal, opened, options, 'stats', given);
    const counted = await countDecisions(db, by, filter, limit).finally(searchProgress(terminal, filter).end);
    await recordAccess(db, actor, 'stats', { ...filter, from: counted.from, by: counted.by });
    if (options.json) return terminal.printJson(counted);
    await showCounts(terminal, db, by, counted, options);
    terminal.print(
      `\n${plural(counted.total, 'decision')} ${periodText(counted, period.clock)}, ${counted.distinct} different`,
    );
    if (counted.note) terminal.print(counted.note);
  });

const showVerb = (terminal: Terminal, id: string | undefined, options: FilterOptions): Promise<void> =>
  withPresentDatabase(terminal, async (opened) => {
    const { db, actor } = opened;
    const { json } = options;
    const isFiltered = Object.values(namesOf(options, NO_PERIOD)).some((value) => value !== undefined);
    if (id !== undefined && isFiltered) throw new Refusal('name a decision by its id, or by a filter, not by both');
    const named = id === undefined ? await lastOf(terminal, opened, options) : validate(idSchema, id);
    const { explanation, note, ...record } = await showDecision(db, actor, named);
    if (json) return terminal.printJson({ ...record, explanation, note });
    show(terminal, record, {});
    if (note !== null) terminal.print(`\n${escaped(note)}`);
    if (explanation !== null) terminal.print(`\nWhy, by the policy of its time:\n\n${explanationText(explanation)}`);
  });

/** The id of the newest decision of the filter. @throws Refusal: there is none */
async function lastOf(terminal: Terminal, opened: PresentDatabase, options: FilterOptions): Promise<string> {
  const period = readPeriod(options, terminal.env);
  const asked = validate(decisionRange, namesOf(options, period));
  const filter = await wholeFilter(terminal, opened, options, 'query', asked);
  const { items, ...range } = await listDecisions(opened.db, filter, { limit: 1 }, opened.cursors);
  const [last] = items;
  if (!last) throw new Refusal(`no decision of this filter is in the log ${periodText(range, period.clock)}`);
  return last.id;
}

const NO_PERIOD = { from: undefined, to: undefined };

const tail = (terminal: Terminal, { from, to, on, ...options }: FilterOptions): Promise<void> =>
  withPresentDatabase(terminal, async (opened) => {
    if (from !== undefined || to !== undefined || on !== undefined)
      throw new Refusal('tail shows what comes from now on; for a time range there is authz audit query');
    const { db, actor } = opened;
    const asked = validate(decisionRange, namesOf(options, NO_PERIOD));
    const filter = await wholeFilter(terminal, opened, options, 'tail', asked);
    await recordAccess(db, actor, 'tail', filter);
    await follow(terminal, filter, db, readClock(options, terminal.env), options);
  });

/** Ends at SIGINT or SIGTERM, and where the output fails: by EPIPE, when the reader closed the pipe. */
async function follow(
  { signal, stdout, stderr, print, screen }: Terminal,
  filter: DecisionFilter,
  db: Parameters<typeof followDecisions>[0],
  clock: Clock,
  { json, wide }: TableOptions,
) {
  const seen = screen();
  const closed = new AbortController();
  const close = (): void => closed.abort();
  stdout.on('error', close);
  try {
    let announced = false;
    for await (const records of followDecisions(db, filter, AbortSignal.any([signal, closed.signal]))) {
      if (!announced) {
        stderr.write('following the decision log; interrupt to end\n');
        if (!json) print(tailLine(seen, 'headings', wide));
      }
      announced = true;
      if (json) for (const record of records) print(JSON.stringify(record));
      else for (const record of await shownDecisions(db, records, clock)) print(tailLine(seen, record, wide));
    }
  } finally {
    stdout.off('error', close);
  }
}
