/** The report as one HTML file for whoever signs: nothing is loaded, no script runs, and it prints. */

import { createHash } from 'node:crypto';
import type { HygieneFinding } from '../../key-hygiene/findings.ts';
import type { Replica } from '../../rollout/replicas.ts';
import type { VerifyReport } from '../verify/verify.ts';
import { administrationSection, policySection } from './administration.ts';
import { barOf, dailyChart, html, weekChart } from './charts.ts';
import type { Counts, Figures } from './figures.ts';
import { STYLE } from './style.ts';
import { count, moment, section, table } from './tables.ts';

export interface Report {
  readonly title: string;
  readonly figures: Figures;
  readonly verification: VerifyReport;
  /** Of the moment of `madeAt`, not of the time that it is about. */
  readonly findings: readonly HygieneFinding[];
  readonly replicas: readonly Replica[];
  readonly madeAt: string;
  readonly madeBy: string;
  /** Whether the time that it is about had not ended. */
  readonly unfinished: boolean;
  /** SHA-256 of the figures as JSON: the same for whoever makes it again of the same log. */
  readonly digest: string;
}

export const digestOf = (figures: Figures): string =>
  createHash('sha256').update(JSON.stringify(figures)).digest('hex');

export function reportPage(report: Report): string {
  const { title, figures, verification, madeAt, madeBy } = report;
  const policy = `default-src 'none'; style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${html(policy)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${html(title)}</title>
<style>${STYLE}</style>
</head>
<body>
<header>
<p class="product">iqra-authz</p>
<h1>${html(title)}</h1>
<p>${moment(figures.from)} to ${moment(figures.to)}${report.unfinished ? ', which had not ended' : ''}. All times and days are in UTC.</p>
</header>
<main>
${verdict(verification)}
${overview(figures)}
${section('What was asked', asked(figures))}
${section('What was denied', denied(figures))}
${policySection(figures, report.replicas)}
${administrationSection(figures)}
${section('Findings', findingsOf(report))}
${section('The log itself', proof(report))}
</main>
<footer>
<p>Made ${moment(madeAt)} by ${html(madeBy)}. Digest of the figures: <code>${report.digest}</code>: whoever makes the report again of the same log finds the same.</p>
<div class="signatures"><p>Name</p><p>Date</p><p>Signature</p></div>
</footer>
</body>
</html>
`;
}

function verdict({ clean, found, records, findings, uncovered }: VerifyReport): string {
  if (clean)
    return `<p class="verdict well"><strong>The log verifies.</strong> ${count(records)} records are what was recorded${
      uncovered > 0 ? `; ${count(uncovered)} of them no checkpoint outside the database covers yet` : ''
    }.</p>`;
  const list = findings.slice(0, 20).map(({ code, message }) => `<li><code>${html(code)}</code> ${html(message)}</li>`);
  return `<div class="verdict bad"><p><strong>The log does not verify: ${count(found)} found.</strong> What follows is no evidence before they are explained.</p><ul>${list.join('')}</ul></div>`;
}

function overview({ total, totalBefore, codes, changed, days }: Figures): string {
  const allowed = codes.find(({ code }) => code === 'OK')?.count ?? 0;
  const share = (part: number): string => `${((100 * part) / Math.max(total, 1)).toFixed(1)} %`;
  const cards = [
    [count(total), 'questions', `${count(totalBefore)} in the time before`],
    [share(allowed), 'allowed', count(allowed)],
    [share(total - allowed), 'denied', count(total - allowed)],
    [count(changed), 'changes', 'by administration'],
  ].map(([value, name, says]) => `<div><strong>${value}</strong><span>${name}</span><small>${says}</small></div>`);
  const chart = dailyChart(days.map(({ day, ...sums }) => ({ name: day, ...sums })));
  return `<section class="cards">${cards.join('')}</section>\n<figure>${chart}<figcaption><span class="allowed"></span> allowed <span class="denied"></span> denied</figcaption></figure>`;
}

const asked = ({ largest, hours }: Figures): string =>
  [
    `<div class="columns">${counted('Actions', largest.action)}${counted('Services that asked', largest.caller)}</div>`,
    `<div class="columns">${counted('Businesses', largest.business)}${counted('Users', largest.user)}</div>`,
    counted('Keys', largest.key),
    `<h3>When, by weekday and hour</h3><figure>${weekChart(hours)}</figure>`,
  ].join('\n');

function denied({ codes, denied: by }: Figures): string {
  const rows = codes
    .filter(({ code }) => code !== 'OK')
    .map(({ code, count: now, before }) => [code, count(now), count(before), before === 0 && now > 0 ? 'new' : '']);
  return [
    table('By code', ['code', 'now', 'in the time before', ''], rows),
    `<div class="columns">${counted('Rules that denied', by.rule, 'denied')}${counted('Networks', by.network, 'denied')}</div>`,
    `<div class="columns">${counted('Users', by.user, 'denied')}${counted('Keys', by.key, 'denied')}</div>`,
  ].join('\n');
}

function counted(name: string, { groups, distinct }: Counts, kind = 'allowed'): string {
  const most = Math.max(...groups.map(({ count: one }) => one), 1);
  const rows = groups.map(({ value, count: one }) => [value ?? 'none', count(one), { html: barOf(one, most, kind) }]);
  const shown = groups.filter(({ value }) => value !== null).length;
  const more = distinct > shown ? `<p class="more">and ${count(distinct - shown)} more</p>` : '';
  return `<div>${table(name, ['', 'questions', ''], rows)}${more}</div>`;
}

function findingsOf({ findings, madeAt }: Report): string {
  if (findings.length === 0) return `<p>None at ${moment(madeAt)}.</p>`;
  const rows = findings.map(({ finding, says, advice }) => [finding, says, advice]);
  return `<p>As of ${moment(madeAt)}.</p>${table('Of keys, users and callers', ['finding', 'what', 'what to do'], rows)}`;
}

function proof({ verification, figures }: Report): string {
  const { records, chains, erased, checkpoints, clockSteps, administration, days } = verification;
  const { external, keysFrom, count: made } = checkpoints;
  const vouched = {
    given: 'whose key was given',
    file: 'by keys that their own file names',
    database: 'by keys that only the database names',
  };
  const facts = [
    ['records', `${count(records)} in ${count(chains)} chains; the personal data of ${count(erased)} have been erased`],
    ['events of administration', `${count(administration.events)} in their chain`],
    ['checkpoints', made === 0 ? 'none' : `${count(made)}, signed ${vouched[keysFrom]}`],
    ['outside the database', external === null ? 'none was read' : `up to number ${external.number} of ${external.at}`],
    ...clockSteps.map(({ from, to }) => ['clock', `set back from ${from} to ${to}`]),
  ];
  const rows = days.map(({ day, records: of, root, covered, pruned }) => [
    day,
    count(of),
    covered ? 'yes' : 'no',
    pruned ? 'pruned' : '',
    { html: `<code>${html(root)}</code>` },
  ]);
  return [
    table('What was verified', ['', ''], facts),
    table('Each day', ['day', 'records', 'attested', '', 'Merkle root of its records'], rows),
    table(
      'Who read the log',
      ['login', 'who it said', 'what', 'times'],
      figures.reads.map(({ login, actor, action, count: times }) => [login, actor, action, count(times)]),
    ),
  ].join('\n');
}
