/** What deploy/chart runs, mounts, stops and lets in, as helm renders it. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { describeConfig } from '../../src/config.ts';
import { loadPolicy, readPolicyFolder } from '../../src/rollout/folder.ts';
import { ROOT } from '../support/cli.ts';
import { ALL, containersOf, describeWithTools, type KubeObject, one, podOf, pods, render } from './chart.ts';
import { filesOf, mount } from './kubelet.ts';

const POLICY = path.join(ROOT, 'policies');

describeWithTools('the pods of deploy/chart', () => {
  let plain: KubeObject[];
  let all: KubeObject[];
  before(() => {
    plain = render();
    all = render(ALL);
  });

  it('runs every pod restricted, on a read-only root, without a token of the API and with what it mounts', () => {
    for (const objects of [plain, all]) {
      expect(pods(objects)).to.have.length(3);
      for (const pod of pods(objects)) {
        expect(pod.spec).to.include({ automountServiceAccountToken: false });
        expect(pod.spec.securityContext).to.deep.include({
          ...{ runAsNonRoot: true, runAsUser: 65532, seccompProfile: { type: 'RuntimeDefault' } },
        });
        for (const key of ['hostNetwork', 'hostPID', 'hostIPC']) expect(pod.spec).to.not.have.property(key);
        const volumes = (pod.spec.volumes ?? []).map(({ name }: { name: string }) => name);
        for (const container of containersOf(pod)) {
          expect(container.securityContext).to.deep.equal({
            ...{ allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } },
          });
          expect(container).to.not.have.property('command');
          for (const { name } of container.volumeMounts ?? []) expect(volumes).to.include(name);
        }
      }
    }
    expect(
      pods(all)
        .flatMap(containersOf)
        .map(({ image }) => image),
    ).to.include(`iqra-authz@sha256:${'a'.repeat(64)}`);
  });

  it('gives each pod settings that there are, and secrets by reference alone', () => {
    const names = new Set(describeConfig({}).map(({ name }) => name));
    for (const pod of pods(all)) {
      const secrets =
        pod.spec.volumes?.find(({ name }: { name: string }) => name === 'secrets')?.projected.sources ?? [];
      const files = secrets.map(({ secret }: KubeObject['spec']) => `/run/secrets/iqra-authz/${secret.items[0].path}`);
      for (const { name, value, valueFrom } of containersOf(pod).flatMap(({ env = [] }) => env)) {
        expect(valueFrom?.secretKeyRef, name).to.equal(undefined);
        if (name === 'POD') continue;
        const [, setting] = /^(.*)_FILE$/.exec(name) ?? [];
        expect([...names], name).to.include(setting ?? name);
        if (setting !== undefined) expect(files).to.include(value);
      }
    }
    const { env } = podOf(one(all, 'Deployment')).spec.containers[0];
    expect(env).to.deep.include({ name: 'MAX_CONNECTIONS', value: '1000000' });
    expect(JSON.stringify(all.filter(({ kind }) => kind === 'Secret'))).to.equal('[]');
  });

  it('stops a pod within its grace period, and only once another is ready', () => {
    for (const stop of [undefined, { preStop: 10, drain: 20, limit: 30 }]) {
      const { spec } = one(render(stop && { stop }), 'Deployment');
      const [{ env, lifecycle }] = spec.template.spec.containers;
      const ms = (name: string) => Number(env.find((one: { name: string }) => one.name === name).value);
      const needed = lifecycle.preStop.sleep.seconds + (ms('DRAIN_DELAY_MS') + ms('SHUTDOWN_LIMIT_MS')) / 1000;
      expect(lifecycle.preStop.sleep.seconds).to.be.above(0);
      expect(spec.template.spec.terminationGracePeriodSeconds).to.be.at.least(needed + 10);
      expect(spec.strategy.rollingUpdate).to.deep.equal({ maxUnavailable: 0, maxSurge: 1 });
      expect(spec.replicas).to.be.above(one(plain, 'PodDisruptionBudget').spec.minAvailable);
    }
    expect(one(all, 'Deployment').spec).to.not.have.property('replicas');
  });

  it('selects the pods of the service with all that goes by labels, and no others', () => {
    const labels = podOf(one(all, 'Deployment')).metadata.labels;
    const others = pods(all)
      .map((pod) => pod.metadata.labels)
      .filter((other) => other !== labels);
    const matches = (selector: object, of: Record<string, string>): boolean =>
      Object.entries(selector).every(([key, value]) => of[key] === value);
    const selectors = [
      one(all, 'Deployment').spec.selector.matchLabels,
      one(all, 'Service').spec.selector,
      one(all, 'PodDisruptionBudget').spec.selector.matchLabels,
      one(all, 'NetworkPolicy', 'authz').spec.podSelector.matchLabels,
      ...podOf(one(all, 'Deployment')).spec.topologySpreadConstraints.map(
        ({ labelSelector }: KubeObject['spec']) => labelSelector.matchLabels,
      ),
    ];
    for (const selector of selectors) {
      expect(matches(selector, labels), JSON.stringify(selector)).to.equal(true);
      expect(
        others.some((other) => matches(selector, other)),
        JSON.stringify(selector),
      ).to.equal(false);
    }
    const monitor = one(all, 'ServiceMonitor').spec;
    const service = one(all, 'Service');
    expect(matches(monitor.selector.matchLabels, { ...service.metadata.labels })).to.equal(true);
    // The alerts say job="iqra-authz".
    expect(service.metadata.labels[monitor.jobLabel]).to.equal('iqra-authz');
    const ports = podOf(one(all, 'Deployment')).spec.containers[0].ports.map(({ name }: { name: string }) => name);
    const { startupProbe, livenessProbe, readinessProbe } = podOf(one(all, 'Deployment')).spec.containers[0];
    for (const probe of [startupProbe, livenessProbe, readinessProbe]) expect(ports).to.include(probe.httpGet.port);
    for (const { targetPort } of service.spec.ports) expect(ports).to.include(targetPort);
    const served = service.spec.ports.map(({ name }: { name: string }) => name);
    for (const { port } of monitor.endpoints) expect(served).to.include(port);
  });

  it('lets in callers, and to the port of administration who is named; and out to what is configured', () => {
    const rulesOf = (objects: readonly KubeObject[]) => one(objects, 'NetworkPolicy', 'authz').spec;
    const ports = ({ ports: list }: KubeObject['spec']) => list.map(({ port }: { port: unknown }) => port);
    for (const objects of [plain, all]) {
      expect(rulesOf(objects).policyTypes).to.deep.equal(['Ingress', 'Egress']);
      expect(rulesOf(objects).ingress.map(ports)).to.deep.equal([['http'], ['admin']]);
      // A rule without peers would let in everybody.
      for (const { from } of rulesOf(objects).ingress) expect(from.length).to.be.above(0);
    }
    const adminPeers = JSON.stringify(rulesOf(plain).ingress[1].from);
    expect(adminPeers).to.include('monitoring').and.not.include('iqra-authz/caller');
    expect(JSON.stringify(rulesOf(all).ingress[1].from)).to.include('console');
    expect(rulesOf(plain).egress.map(ports)).to.deep.equal([[5432], [53, 53]]);
    expect(rulesOf(all).egress.map(ports)).to.deep.equal([[5432], [6379], [4318], [443], [53, 53], [8443]]);
    expect(rulesOf(all).egress[0].to).to.deep.equal([{ ipBlock: { cidr: '10.1.0.0/16' } }]);
    expect(one(plain, 'NetworkPolicy', 'migration').spec.egress.map(ports)).to.deep.equal([[5432], [53, 53]]);
    expect(render({ networkPolicy: { enabled: false } }).filter(({ kind }) => kind === 'NetworkPolicy')).to.deep.equal(
      [],
    );
  });

  it('checks the policy that is to come and migrates before anything of the release changes', () => {
    const hooks = plain.filter(({ metadata }) => metadata.annotations?.['helm.sh/hook'] === 'pre-install,pre-upgrade');
    const weight = ({ metadata }: KubeObject) => Number(metadata.annotations?.['helm.sh/hook-weight'] ?? 0);
    const job = one(hooks, 'Job');
    for (const hook of hooks.filter((other) => other !== job)) expect(weight(hook)).to.be.below(weight(job));
    const { initContainers, containers, volumes, restartPolicy } = podOf(job).spec;
    expect(restartPolicy).to.equal('Never');
    expect(initContainers.map(({ args }: KubeObject['spec']) => args[1])).to.deep.equal(['check']);
    expect(containers.map(({ args }: KubeObject['spec']) => args)).to.deep.equal([['migrate', '--roles']]);
    // The owner's URL is for the job alone, and the job needs no pepper.
    const owner = JSON.stringify(volumes);
    expect(owner).to.include('"iqra-authz-owner"').and.not.include('key-peppers');
    expect(JSON.stringify(podOf(one(plain, 'Deployment')))).to.not.include('iqra-authz-owner');
    expect(filesOf(volumes[0], hooks)).to.deep.equal(filesOf(podOf(one(plain, 'Deployment')).spec.volumes[0], plain));
    const contract = podOf(one(render({ migration: { contract: true } }), 'Job')).spec.containers[0];
    expect(contract.args).to.deep.equal(['migrate', '--roles', '--contract']);
    expect(render({ migration: { enabled: false } }).filter(({ kind }) => kind === 'Job')).to.deep.equal([]);
  });

  it('mounts the policy folder as it is, cases too', async () => {
    const files = filesOf(podOf(one(plain, 'Deployment')).spec.volumes[0], plain);
    expect(files).to.deep.equal(new Map(await readPolicyFolder(POLICY)));
    const folder = mkdtempSync(path.join(tmpdir(), 'authz-mounted-'));
    try {
      mount(folder, files);
      expect((await loadPolicy(folder)).digest).to.equal((await loadPolicy(POLICY)).digest);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
