/** `authz audit admin`: who changed what, and who read the log. */

import type { Command } from 'commander';
import { recordAccess } from '../../audit/access-log.ts';
import { adminQuery, listAdminEvents } from '../../audit/admin-events.ts';
import { validate } from '../../input/scalars.ts';
import { withPresentDatabase } from '../terminal/database.ts';
import { fixedOptions, type PeriodOptions, periodOptions, periodText, readPeriod } from '../terminal/moment.ts';
import { listOptions, type TableOptions, verb } from '../terminal/options.ts';
import { showPage } from '../terminal/records.ts';
import type { Terminal } from '../terminal/terminal.ts';
import { printMoment } from '../terminal/zone.ts';

type Options = TableOptions & PeriodOptions & Readonly<Record<string, string>>;

const COLUMNS = ['at', 'actor', 'action', 'kind', 'subject', 'login'] as const;

/** Adds the verb to `authz audit`. */
export function addAdminVerb(audit: Command, terminal: Terminal): void {
  periodOptions(
    listOptions(
      verb(
        audit,
        'admin',
        'who changed what and read the log, newest first; --json has before and after',
        'admin --kind key --subject KEY-ID',
      ),
    ),
    'the first event',
  )
    .option('--actor <id>', 'by this caller, as:name, or cli:account@machine')
    .option('--action <name>', 'such as key.rotate')
    .option('--kind <kind>', 'user, business, member, key, caller, freeze, directory, decision, log, policy or address')
    .option('--subject <id>', 'of what was changed')
    .action((options: Options) => admin(terminal, options));
}

const admin = (terminal: Terminal, { json, wide, from, to, on, zone, ...options }: Options): Promise<void> =>
  withPresentDatabase(terminal, async ({ db, actor, cursors }) => {
    const period = readPeriod({ from, to, on, zone }, terminal.env);
    const { limit, cursor, ...filter } = validate(adminQuery, { ...options, from: period.from, to: period.to });
    const events = await listAdminEvents(db, filter, { limit, cursor }, cursors);
    await recordAccess(db, actor, 'admin', { ...filter, limit, cursor });
    if (json) return terminal.printJson(events);
    const items = events.items.map((event) => ({ ...event, at: printMoment(event.at, period.clock) }));
    showPage(terminal, { ...events, items }, COLUMNS, { wide }, { again: fixedOptions(period, { from, to }) });
    if (period.from !== undefined)
      terminal.print(`\n${periodText({ from: period.from, to: period.to ?? null }, period.clock)}`);
  });
