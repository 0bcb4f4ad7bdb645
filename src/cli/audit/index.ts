/** `authz audit ...`: the verbs of auditors. */

import type { Command } from 'commander';
import type { Terminal } from '../terminal/terminal.ts';
import { addAdminVerb } from './admin.ts';
import { addEventsVerb } from './events.ts';
import { addExportVerb } from './export.ts';
import { addFindingsVerb } from './findings.ts';
import { addDecisionVerbs } from './query.ts';
import { addReportVerb } from './report.ts';
import { addRetentionVerbs } from './retention.ts';
import { addTimelineVerb } from './timeline.ts';
import { addVerifyVerb } from './verify.ts';

export function addAuditVerbs(audit: Command, terminal: Terminal): void {
  addDecisionVerbs(audit, terminal);
  addTimelineVerb(audit, terminal);
  addExportVerb(audit, terminal);
  addFindingsVerb(audit, terminal);
  addAdminVerb(audit, terminal);
  addEventsVerb(audit, terminal);
  addVerifyVerb(audit, terminal);
  addReportVerb(audit, terminal);
  addRetentionVerbs(audit, terminal);
}
