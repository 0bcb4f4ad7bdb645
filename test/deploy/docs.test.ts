/**
 * The commands of docs/deploy.md, as they stand on the page, in a copy of the checkout. Stand-ins print what is not to be had here (docker,
 * systemctl, a cluster), or do what needs none: `kubectl create` without a server, `helm template` in place of `helm upgrade`.
 */

import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { parse } from 'yaml';
import { loadConfig } from '../../src/config.ts';
import { readPolicyFolder } from '../../src/rollout/folder.ts';
import { ROOT } from '../support/cli.ts';
import { runGuide } from '../support/guide.ts';
import { describeWithTools, HELM, KUBECTL, type KubeObject, objectsOf } from './chart.ts';
import { filesOf } from './kubelet.ts';

const STAND_INS = `
for name in make docker systemctl npm; do eval "$name() { echo \\"# $name \\$*\\"; }"; done
kubectl() {
  case "$*" in
    *' create '*--dry-run*) '${KUBECTL}' "$@" ;;
    *'create '*) '${KUBECTL}' "$@" --dry-run=client --output=yaml; echo --- ;;
    *'apply -f -') cat; echo --- ;;
    *) echo "# kubectl $*" ;;
  esac
}
helm() {
  [ "$1" = upgrade ] || { echo "# helm $*"; return; }
  shift
  for word; do
    shift
    case "$word" in --install | --wait | --reuse-values) ;; *) set -- "$@" "$word" ;; esac
  done
  '${HELM}' template "$@" 2> helm.log || { cat helm.log >&2; return 1; }
}
`;

const page = readFileSync(path.join(ROOT, 'docs', 'deploy.md'), 'utf8');

/** All blocks of commands of a section. */
const commandsOf = (heading: string): string => {
  const [, section = ''] = page.split(`\n## ${heading}\n`);
  const [own = ''] = section.split('\n## ');
  const blocks = [...own.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, commands]) => commands);
  expect(blocks, heading).to.not.deep.equal([]);
  return blocks.join('\n');
};

describe('the commands of docs/deploy.md', () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'authz-deploy-'));
    for (const name of ['bin', 'deploy', 'policies', 'package.json', 'package-lock.json', '.npmrc'])
      cpSync(path.join(ROOT, name), path.join(folder, name), { recursive: true, verbatimSymlinks: true });
    rmSync(path.join(folder, 'deploy', 'compose', 'secrets'), { recursive: true, force: true });
    for (const name of ['dist', 'opt', 'etc/systemd/system']) mkdirSync(path.join(folder, name), { recursive: true });
  });
  after(() => rmSync(folder, { recursive: true }));

  const run = async (commands: string): Promise<string> =>
    (await runGuide(`${STAND_INS}\n${commands}`, folder, {})).stdout;
  const mode = (...names: string[]): string => (statSync(path.join(folder, ...names)).mode & 0o777).toString(8);

  it('make the image and the list of what it ships', async () => {
    expect(await run(commandsOf('The image'))).to.equal('# make image\n# make sbom\n');
  });

  it('make the secrets of compose, which only their owner reaches and each service can read', async () => {
    const output = await run(commandsOf('Compose'));
    const secrets = path.join(folder, 'deploy', 'compose', 'secrets');
    const read = (name: string): string => readFileSync(path.join(secrets, name), 'utf8').trim();
    expect(mode('deploy/compose/secrets')).to.equal('700');
    const compose = parse(readFileSync(path.join(folder, 'deploy', 'compose.yaml'), 'utf8'), { merge: true });
    for (const { file } of Object.values<{ file: string }>(compose.secrets))
      expect(mode('deploy', file)).to.equal('444');
    expect(new URL(read('owner_url')).password)
      .to.equal(read('owner_password'))
      .and.have.length(48);
    expect(new URL(read('database_url')).password).to.equal(read('service_password'));
    // As the replicas read them.
    const given = Object.entries<string>(compose.services['authz-1'].environment).map(([name, value]) => [
      name,
      value.replace('/run/secrets', secrets),
    ]);
    expect(loadConfig(Object.fromEntries(given)).DATABASE_URL).to.equal(read('database_url'));
    for (const [, service = ''] of output.matchAll(/ (authz-\d|migrate)\b/g))
      expect(compose.services).to.have.property(service);
  });

  it('put the service, its secrets and its unit where systemd looks for them', async () => {
    const under = commandsOf('systemd').replaceAll(/(?<![\w/])\/(opt|etc)\//g, `${folder}/$1/`);
    expect(await run(under)).to.match(/^# systemctl enable --now iqra-authz@1 iqra-authz@2$/m);
    const unit = readFileSync(path.join(folder, 'etc/systemd/system/iqra-authz@.service'), 'utf8');
    for (const [, file = ''] of unit.matchAll(/^LoadCredential=.*?:(.*)$/gm)) expect(mode(file)).to.equal('600');
    for (const [, file = ''] of unit.matchAll(/(\/opt\/\S+\.mjs)/g))
      expect(existsSync(path.join(folder, file))).to.equal(true);
    const secrets = path.join(folder, 'etc/iqra-authz/secrets');
    const config = loadConfig({ KEY_PEPPERS_FILE: path.join(secrets, 'key-peppers') });
    expect(config.KEY_PEPPERS?.[0].id).to.equal('p1');
    expect(readFileSync(path.join(secrets, 'audit-signing-key'), 'utf8')).to.include('BEGIN PRIVATE KEY');
  });

  describeWithTools('for Kubernetes', () => {
    it('make the Secrets and ConfigMaps that the chart refers to', async () => {
      const files = 'for name in database-url owner-url key-peppers; do echo x > "$name"; done';
      const objects = objectsOf(await run(`${files}\n${commandsOf('Kubernetes')}`));
      const deployments = objects.filter(({ kind }) => kind === 'Deployment');
      expect(deployments).to.have.length(2);
      const keys = new Map(
        objects
          .filter(({ kind }) => kind === 'Secret')
          .map(({ metadata, data = {} }) => [metadata.name, Object.keys(data)]),
      );
      const pods = objects
        .filter(({ kind }) => ['Deployment', 'Job'].includes(kind))
        .map(({ spec }) => spec.template.spec);
      const sources = pods.flatMap(({ volumes }) =>
        volumes.flatMap(({ projected }: KubeObject['spec']) => projected.sources),
      );
      for (const { secret } of sources.filter(({ secret }) => secret))
        expect(keys.get(secret.name), secret.name).to.include(secret.items[0].key);
      const policy = new Map(await readPolicyFolder(path.join(ROOT, 'policies')));
      for (const { spec } of deployments) expect(filesOf(spec.template.spec.volumes[0], objects)).to.deep.equal(policy);
    });
  });
});
