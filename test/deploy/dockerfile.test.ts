/** deploy/Dockerfile: what may never be in it. */

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'chai';
import { ROOT } from '../support/cli.ts';
import { readDockerfile, type Stage } from './dockerfile.ts';

const shipped = readFileSync(path.join(ROOT, 'deploy', 'Dockerfile'), 'utf8');

/** What is wrong with a Dockerfile, each fault by a word. */
function faultsOf(text: string): string[] {
  const stages = readDockerfile(text);
  const last = stages.at(-1);
  const find = (keyword: string) => last?.steps.find((step) => step.keyword === keyword);
  const steps = stages.flatMap((stage) => stage.steps);
  const [user = ''] = find('USER')?.words ?? [];
  const faults: readonly (readonly [fault: string, there: boolean])[] = [
    ['unpinned', stages.some(({ image }) => !isPinned(image, stages))],
    ['one stage', stages.length < 2],
    ['user', !/^[1-9]\d*:[1-9]\d*$/.test(user)],
    ['add', steps.some(({ keyword }) => keyword === 'ADD')],
    ['shell', steps.some(({ keyword, exec }) => /^(?:RUN|CMD|ENTRYPOINT|HEALTHCHECK)$/.test(keyword) && !exec)],
    ['health', find('HEALTHCHECK') === undefined],
    ['run last', find('RUN') !== undefined],
    ['secret', steps.some(({ keyword, words }) => /^(?:ENV|ARG)$/.test(keyword) && SECRET.test(words.join()))],
    [
      'dev',
      !steps.some(
        ({ words }) => words[0] === 'npm' && words.includes('--omit=dev') && words.includes('--omit=optional'),
      ),
    ],
  ];
  return faults.filter(([, there]) => there).map(([fault]) => fault);
}

const SECRET = /PEPPER|TOKEN|PASSWORD|DATABASE_URL|REDIS_URL|SIGNING_KEY/;
const isPinned = (image: string, stages: readonly Stage[]): boolean =>
  /^[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}$/.test(image) || stages.some(({ name }) => name === image);

describe('deploy/Dockerfile', () => {
  it('is of pinned images, without a shell, without root and without a secret', () => {
    expect(faultsOf(shipped)).to.deep.equal([]);
  });

  for (const [fault, from, to] of [
    ['unpinned', /@sha256:[0-9a-f]{64}/, ''],
    ['user', 'USER 65532:65532', 'USER nonroot'],
    ['user', 'USER 65532:65532\n', ''],
    ['add', 'COPY bin bin', 'ADD bin bin'],
    ['shell', 'CMD ["serve"]', 'CMD serve'],
    ['shell', '["node", "deploy/sbom.mjs", "notices"]', 'node deploy/sbom.mjs notices'],
    ['health', /^HEALTHCHECK.*$/m, ''],
    ['secret', 'PORT=8080', 'BOOTSTRAP_TOKEN=x'],
    ['dev', '"--omit=optional", ', ''],
  ] as const) {
    it(`would not be with ${JSON.stringify(to)} for ${from}`, () => {
      const changed = shipped.replace(from, to);
      expect(changed).to.not.equal(shipped);
      expect(faultsOf(changed)).to.deep.equal([fault]);
    });
  }
});
