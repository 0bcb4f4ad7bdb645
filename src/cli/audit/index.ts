/** `authz audit ...`: the verbs of auditors. */

import type { Command } from 'commander';
import { recordAccess } from '../../audit/access-log.ts';
import { adminQuery, listAdminEvents } from '../../audit/admin-events.ts';
import { validate } from '../../input/scalars.ts';
import { withPresentDatabase } from '../terminal/database.ts';
import { fixedOptions, type PeriodOptions, periodOptions, periodText, readPeriod } from '../terminal/moment.ts';
import { type JsonOption, pageOptions, verb } from '../terminal/options.ts';
import { showPage } from '../terminal/records.ts';
import type { Terminal } from '../terminal/terminal.ts';
import { addEventsVerb } from './events.ts';
import { addExportVerb } from './export.ts';
import { addFindingsVerb } from './findings.ts';
import { addDecisionVerbs } from './query.ts';
import { addRetentionVerbs } from './retention.ts';
import { addTimelineVerb } from './timeline.ts';
import { addVerifyVerb } from './verify.ts';

export function addAuditVerbs(audit: Command, terminal: Terminal): void {
  addDecisionVerbs(audit, terminal);
  addTimelineVerb(audit, terminal);
  addExportVerb(audit, terminal);
  addFindingsVerb(audit, terminal);
  periodOptions(
    pageOptions(
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
    .action(({ json, from, to, on, zone, ...options }: JsonOption & PeriodOptions & Record<string, string>) =>
      withPresentDatabase(terminal, async ({ db, actor, cursors }) => {
        const period = readPeriod({ from, to, on, zone }, terminal.env);
        const { limit, cursor, ...filter } = validate(adminQuery, { ...options, from: period.from, to: period.to });
        const events = await listAdminEvents(db, filter, { limit, cursor }, cursors);
        await recordAccess(db, actor, 'admin', { ...filter, limit, cursor });
        showPage(
          terminal,
          events,
          ['at', 'actor', 'action', 'kind', 'subject', 'login'],
          json ? { json } : {},
          fixedOptions(period, { from, to }),
        );
        if (!json && period.from !== undefined)
          terminal.print(`\n${periodText({ from: period.from, to: period.to ?? null }, period.clock)}`);
      }),
    );
  addEventsVerb(audit, terminal);
  addVerifyVerb(audit, terminal);
  addRetentionVerbs(audit, terminal);
}
