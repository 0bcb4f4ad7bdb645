/** `authz audit ...`: the verbs of auditors. */

import type { Command } from 'commander';
import { recordAccess } from '../../audit/access-log.ts';
import { adminQuery, listAdminEvents } from '../../audit/admin-events.ts';
import { validate } from '../../input/scalars.ts';
import { withPresentDatabase } from '../terminal/database.ts';
import { type JsonOption, pageOptions, verb } from '../terminal/options.ts';
import { showPage } from '../terminal/records.ts';
import type { Terminal } from '../terminal/terminal.ts';
import { addEventsVerb } from './events.ts';
import { addExportVerb } from './export.ts';
import { addFindingsVerb } from './findings.ts';
import { addDecisionVerbs } from './query.ts';
import { addRetentionVerbs } from './retention.ts';
import { addVerifyVerb } from './verify.ts';

export function addAuditVerbs(audit: Command, terminal: Terminal): void {
  addDecisionVerbs(audit, terminal);
  addExportVerb(audit, terminal);
  addFindingsVerb(audit, terminal);
  pageOptions(
    verb(
      audit,
      'admin',
      'who changed what and read the log, newest first; --json has before and after',
      'admin --kind key --subject KEY-ID',
    ),
  )
    .option('--actor <id>', 'by this caller, as:name, or cli:account@machine')
    .option('--action <name>', 'such as key.rotate')
    .option('--kind <kind>', 'user, business, member, key, caller, freeze, directory, decision, log, policy or address')
    .option('--subject <id>', 'of what was changed')
    .option('--from <time>', 'RFC 3339, inclusive')
    .option('--to <time>', 'RFC 3339, exclusive')
    .action(({ json, ...options }: JsonOption & Record<string, string>) =>
      withPresentDatabase(terminal, async ({ db, actor, cursors }) => {
        const { limit, cursor, ...filter } = validate(adminQuery, options);
        const events = await listAdminEvents(db, filter, { limit, cursor }, cursors);
        await recordAccess(db, actor, 'admin', { ...filter, limit, cursor });
        showPage(terminal, events, ['at', 'actor', 'action', 'kind', 'subject', 'login'], json ? { json } : {});
      }),
    );
  addEventsVerb(audit, terminal);
  addVerifyVerb(audit, terminal);
  addRetentionVerbs(audit, terminal);
}
