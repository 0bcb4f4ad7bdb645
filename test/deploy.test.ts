/** The alert rules and the dashboard read metrics that a running service has, by labels and values that those have. */

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'chai';
import { parse } from 'yaml';
import { FAILURES } from '../src/errors.ts';
import { HYGIENE_KINDS } from '../src/key-hygiene/rules.ts';
import { ROOT } from './support/cli.ts';
import { withService } from './support/client.ts';
import { exists, metricsOf, namesIn, type ReadMetrics } from './support/metrics.ts';
import type { TestService } from './support/service.ts';

const read = (...names: string[]): string => readFileSync(path.join(ROOT, ...names), 'utf8');

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string; readonly description: string };
}

interface Panel {
  readonly id: number;
  readonly title: string;
  readonly targets: readonly { readonly refId: string; readonly expr: string }[];
}

const rules = (parse(read('deploy', 'prometheus-alerts.yml')) as { groups: { rules: Rule[] }[] }).groups.flatMap(
  (group) => group.rules,
);
const dashboard = JSON.parse(read('deploy', 'grafana-dashboard.json')) as {
  panels: Panel[];
  templating: { list: { query: string | { query: string } }[] };
};

describe('what deploy/ holds', () => {
  let service: TestService;
  let metrics: ReadMetrics;
  /** Metric -> its labels, as docs/monitoring.md lists them; another test holds that list and the service together. */
  const labels = new Map(
    [...read('docs', 'monitoring.md').matchAll(/^\| (authz_\w+)(?:\{([\w, ]+)\})? \|/gm)].map(
      ([, name = '', list = '']) => [name, list.split(', ')] as const,
    ),
  );

  withService(async (started) => {
    ({ service } = started);
    metrics = await metricsOf(service.address);
  });

  /** What a query reads that no service has: metrics, and labels and codes of them. */
  const strays = (query: string): string[] => [
    ...namesIn(query).filter((name) => !exists(metrics, name)),
    ...[...query.matchAll(/(authz_\w+)\{([^}]*)\}/g)].flatMap(([, name = '', matchers = '']) =>
      [...matchers.matchAll(/(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"/g)].flatMap(([, label = '', values = '']) => {
        const known = ['instance', 'job', ...(labels.get(name.replace(/_bucket$/, '')) ?? [])];
        const codes = label === 'code' ? values.split('|').filter((code) => !(code in FAILURES)) : [];
        return [...(known.includes(label) ? [] : [`${name}{${label}}`]), ...codes];
      }),
    ),
  ];

  it('finds what no service has', () => {
    const wrong = 'sum by (x) (rate(authz_nothing_total{code="NONE", a!="b"}[5m])) / nodejs_nothing + authz_info';
    expect(strays(wrong)).to.have.members([
      ...['authz_nothing_total', 'nodejs_nothing', 'authz_nothing_total{code}', 'NONE', 'authz_nothing_total{a}'],
    ]);
    expect(strays('authz_answer_seconds_bucket{route="/authorize"} + authz_answer_seconds_total')).to.deep.equal([
      'authz_answer_seconds_total',
    ]);
  });

  it('is alerts that can fire, and say what to do', () => {
    expect(rules.length).to.be.above(10);
    expect(new Set(rules.map(({ alert }) => alert)).size).to.equal(rules.length);
    for (const { alert, expr, labels: own, annotations } of rules) {
      expect(namesIn(expr), alert).to.not.deep.equal([]);
      expect(strays(expr), alert).to.deep.equal([]);
      expect(own.severity, alert).to.be.oneOf(['critical', 'warning']);
      expect(annotations.summary.length, alert).to.be.above(10);
      expect(annotations.description.length, alert).to.be.above(20);
    }
  });

  it('is an alert for each kind of findings', () => {
    const kinds = rules.flatMap(({ expr }) =>
      [...expr.matchAll(/authz_findings\{kind=~"([^"]*)"\}/g)].flatMap(([, values = '']) => values.split('|')),
    );
    // Of freezes that end an alert goes by gauges of their own, which every replica has at each moment.
    expect(rules.map(({ alert }) => alert)).to.include('AuthzFreezeEndsSoon');
    expect([...kinds, 'freeze-ending']).to.have.members(Object.keys(HYGIENE_KINDS));
  });

  it('is a dashboard whose panels have something to show', () => {
    expect(new Set(dashboard.panels.map(({ id }) => id)).size).to.equal(dashboard.panels.length);
    for (const { title, targets } of dashboard.panels) {
      expect(targets.length, title).to.be.above(0);
      for (const { expr } of targets) {
        expect(namesIn(expr), title).to.not.deep.equal([]);
        expect(strays(expr), title).to.deep.equal([]);
      }
    }
    const queries = dashboard.templating.list.map(({ query }) => (typeof query === 'string' ? query : query.query));
    expect(queries.flatMap(strays)).to.deep.equal([]);
  });

  it('shows or watches every metric of ours', () => {
    const seen = new Set([
      ...rules.flatMap(({ expr }) => namesIn(expr)),
      ...dashboard.panels.flatMap(({ targets }) => targets.flatMap(({ expr }) => namesIn(expr))),
    ]);
    const own = [...metrics.types.keys()].filter((name) => name.startsWith('authz_'));
    expect(own.filter((name) => !seen.has(name) && !seen.has(`${name}_bucket`))).to.deep.equal([]);
  });
});
