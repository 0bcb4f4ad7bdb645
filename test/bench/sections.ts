/** What `make bench` measures: its sections, in the order in which they run. To add one is a line here. */

import { auditBench } from './audit.ts';
import { benchAuditors } from './auditors.ts';
import { benchCerbos } from './cerbos.ts';
import { benchChanges } from './changes.ts';
import { benchClient } from './client.ts';
import { benchDeadline } from './deadline.ts';
import { benchDeclared } from './declared.ts';
import { benchGateways } from './gateways.ts';
import { benchHostile } from './hostile.ts';
import { benchKeys } from './keys.ts';
import { benchLatency } from './latency.ts';
import { benchPolicy } from './policy.ts';
import { benchRecords } from './records.ts';
import { benchReplay } from './replay.ts';
import type { Bench } from './report.ts';
import { benchRollout } from './rollout.ts';
import { benchSpeed } from './speed.ts';
import { benchTelemetry } from './telemetry.ts';
import { benchVerify } from './verify.ts';

export interface Section {
  /** What it is about, for --help. */
  readonly about: string;
  readonly run: (bench: Bench) => Promise<void>;
  /** Whether docs/performance.md has its figures. */
  readonly inTable: boolean;
}

const inTable = (about: string, run: Section['run']): Section => ({ about, run, inTable: true });
const alone = (about: string, run: Section['run']): Section => ({ about, run, inTable: false });

export const SECTIONS: Readonly<Record<string, Section>> = {
  speed: inTable(
    '/authorize against bare Koa: keys, denials, policy rows, Redis, batches; CPU of each process',
    benchSpeed,
  ),
  cerbos: inTable('the same question to Cerbos, which is fetched unless it is there (32 MB)', benchCerbos),
  latency: inTable('p99 at half load', benchLatency),
  keys: inTable('a million keys: cold questions, memory', benchKeys),
  records: inTable('what a record costs PostgreSQL: time, bytes on disk, WAL', benchRecords),
  verify: inTable('authz audit verify', benchVerify),
  telemetry: inTable('what traces cost a question', benchTelemetry),
  gateways: inTable('nginx that asks about each request, against nginx alone', benchGateways),
  changes: inTable('what the chain of events costs a change, alone and of twenty at once', benchChanges),
  audit: alone('pages, statistics and exports of a log of ten million decisions', auditBench),
  auditors: alone('revocations while auditors do their worst', benchAuditors),
  replay: alone('recorded decisions under another policy', benchReplay),
  rollout: alone('pauses while a large policy is loaded', benchRollout),
  policy: alone('checks of policies, and single decisions', benchPolicy),
  declared: alone('attributes, networks and schedules against the shipped policy', benchDeclared),
  deadline: alone('answers while PostgreSQL is suspended or killed', benchDeadline),
  client: alone('a call of @iqra/authz against a bare fetch; how late it settles', benchClient),
  hostile: alone('the slowest answers beside attackers', benchHostile),
};

/** The name for all sections whose figures docs/performance.md has. */
export const TABLE = 'table';
