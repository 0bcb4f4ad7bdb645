/** What `diff` says of edits of `facts.yaml` that random policies seldom draw, and that what it cannot go through it refuses. */

import { expect } from 'chai';
import { OverBound } from '../../../src/policy/analysis/classes.ts';
import { type Difference, diffOf, Undecided } from '../../../src/policy/analysis/diff.ts';
import type { Policy } from '../../../src/policy/decide.ts';
import { printFinding } from '../../../src/policy/folder/findings.ts';
import { compilePolicy } from '../../../src/policy/policy.ts';
import { shippedTexts } from '../texts.ts';

/** The shipped rows, with one before those that allow, under another `facts.yaml`. */
async function policyWith(
  facts: object,
  when = 'r.freeze.active',
  files: Readonly<Record<string, string>> = {},
): Promise<Policy> {
  const texts = new Map([
    ...(await shippedTexts()),
    ['facts.yaml', JSON.stringify(facts, null, 1)],
    ...Object.entries(files),
    ['50-declared.csv', `p, declared, *, "${when}", deny, PERMISSION_DENIED\n`],
  ]);
  const { policy, findings } = compilePolicy(texts);
  return policy ?? expect.fail(findings[0] ? printFinding(findings[0]) : 'no policy');
}

const said = ({ changes }: Difference, of: string): string[] => {
  const parts = changes.flatMap(({ when }) => when).flatMap((one) => one.split(' && '));
  return [...new Set(parts.filter((part) => part.includes(of)))].sort();
};

describe('the difference of two declarations', () => {
  it('names both readings of what is a yes or no to one of them, and one of several values to the other', async () => {
    const older = await policyWith({ asked: { soft: 'boolean' } }, '!r.asked.soft');
    const newer = await policyWith({ asked: { soft: ['yes', 'no'] } }, "r.asked.soft != 'yes'");
    const difference = diffOf(older, newer);
    expect(difference.changes.map((one) => `${one.old.code} ${one.new.code}`)).to.deep.equal([
      'PERMISSION_DENIED OK',
      'OK PERMISSION_DENIED',
    ]);
    expect(said(difference, 'soft')).to.deep.equal(["r.asked.soft@new == 'yes'", 'r.asked.soft@old']);
  });

  it('names what may no longer be asked, though no row reads it: a question that states it is refused', async () => {
    const older = await policyWith({ asked: { soft: 'boolean', state: ['on', 'off'], gone: ['x'] } });
    const newer = await policyWith({ asked: { soft: ['yes'], state: ['off', 'on', 'idle'], more: 'boolean' } });
    const { equivalent, changes, asked } = diffOf(older, newer);
    expect({ equivalent, changes, asked }).to.deep.equal({
      equivalent: false,
      changes: [],
      asked: [
        { name: 'soft', old: [true, false], new: ['yes'] },
        { name: 'gone', old: ['x'], new: null },
      ],
    });
    const narrower = await policyWith({ asked: { soft: 'boolean', state: ['on'], gone: ['x'] } });
    expect(diffOf(older, narrower).asked).to.deep.equal([{ name: 'state', old: ['on', 'off'], new: ['on'] }]);
    expect(diffOf(narrower, older)).to.deep.include({ equivalent: true, asked: [] });
  });

  it('is none of a network or a schedule that is unchanged, whatever else is declared beside it', async () => {
    const hours = { days: 'mon-fri', from: '08:00', to: '18:00', zone: 'Europe/Berlin' };
    const when = '!r.network.office && !r.schedule.hours';
    const older = await policyWith({ networks: { office: ['10.0.0.0/8'] }, schedules: { hours } }, when);
    const newer = await policyWith(
      { networks: { other: ['11.0.0.0/8'], office: ['10.0.0.0/8'] }, schedules: { more: hours, hours } },
      when,
    );
    expect(diffOf(older, newer)).to.include({ equivalent: true });
    expect(diffOf(older, newer).facts.filter((fact) => fact.includes('@'))).to.deep.equal([]);
    const wider = await policyWith({ networks: { office: ['10.0.0.0/8', '11.0.0.0/8'] }, schedules: { hours } }, when);
    const difference = diffOf(older, wider);
    expect(said(difference, 'office')).to.deep.equal(['!r.network.office@old', 'r.network.office@new']);
    expect(said(difference, 'hours')).to.deep.equal(['!r.schedule.hours']);
  });

  it('does not take a policy that decides too little for an equivalent one, where only its register is strict', async () => {
    const known = { 'call:create': 'Start a call' };
    const lax = await policyWith({ actions: { known } });
    const strict = await policyWith({ actions: { strict: true, known } });
    expect(() => diffOf(lax, strict))
      .to.throw(Undecided)
      .with.property('which', 'new');
    expect(() => diffOf(strict, lax))
      .to.throw(Undecided)
      .with.property('which', 'old');
  });

  it('is refused where the networks of both overlap in too many ways, and says so', async () => {
    const numbers = (count: number): number[] => [...Array(count).keys()];
    const networks = Object.fromEntries(numbers(7).map((n) => [`n${n}`, { file: `n${n}.txt` }]));
    const when = numbers(7)
      .map((n) => `r.network.n${n}`)
      .join(' && ');
    /** Of each number up to 127 the networks by its bits. */
    const files = (prefixesOf: (number: number) => readonly string[]) =>
      Object.fromEntries(
        numbers(7).map((n) => {
          const inside = numbers(128).filter((number) => (number >> n) % 2 === 1);
          return [`n${n}.txt`, inside.flatMap(prefixesOf).join('\n')];
        }),
      );
    const bySecond = files((number) => [`10.${number}.0.0/16`]);
    const byThird = files((number) => numbers(128).map((second) => `10.${second}.${number}.0/24`));
    const [older, newer] = [
      await policyWith({ networks }, when, bySecond),
      await policyWith({ networks }, when, byThird),
    ];
    expect(() => diffOf(older, newer)).to.throw(
      OverBound,
      /of the two together, these networks overlap in more than 4096 ways/,
    );
    expect(diffOf(older, older)).to.include({ equivalent: true });
  });
});
