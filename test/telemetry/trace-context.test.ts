/** Which trace a request is part of, and whether it is recorded: headers as callers send them, samplers by their names. */

import { expect } from 'chai';
import fc from 'fast-check';
import { samplerOf } from '../../src/telemetry/sampler.ts';
import { parentOf } from '../../src/telemetry/trace-context.ts';

const SEED = Number(process.env['SEED'] ?? Date.now() % 2 ** 31);
const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const SPAN = '00f067aa0ba902b7';
const hex = (length: number) =>
  fc.stringMatching(new RegExp(`^[0-9a-f]{${length}}$`)).filter((text) => !/^0+$/.test(text));

describe('the header traceparent', () => {
  it('is read as W3C has it', () => {
    const sampled = { traceId: TRACE, spanId: SPAN, sampled: true };
    expect(parentOf(`00-${TRACE}-${SPAN}-01`)).to.deep.equal(sampled);
    expect(parentOf(`00-${TRACE}-${SPAN}-00`)).to.deep.equal({ ...sampled, sampled: false });
    expect(parentOf(`00-${TRACE}-${SPAN}-fe`)?.sampled).to.equal(false);
    // Of a later version what follows is skipped.
    for (const later of [`cc-${TRACE}-${SPAN}-01`, `01-${TRACE}-${SPAN}-01-what-the-future-will-be-like`])
      expect(parentOf(later), later).to.deep.equal(sampled);
    const bad = [
      '',
      'junk',
      `ff-${TRACE}-${SPAN}-01`,
      `00-${TRACE}-${SPAN}-01-more`,
      `01-${TRACE}-${SPAN}-01.more`,
      `00-${'0'.repeat(32)}-${SPAN}-01`,
      `00-${TRACE}-${'0'.repeat(16)}-01`,
      `00-${TRACE.toUpperCase()}-${SPAN}-01`,
      `00-${TRACE}-${SPAN}-1`,
      `00-${TRACE.slice(1)}-${SPAN}-01`,
      `00-${TRACE}-${SPAN}`,
    ];
    for (const header of bad) expect(parentOf(header), header).to.equal(undefined);
    expect(parentOf(undefined)).to.equal(undefined);
  });

  it('that comes twice counts where both are of one trace: the last, which is the inner', () => {
    const inner = '1111111111111111';
    expect(parentOf(`00-${TRACE}-${SPAN}-01, 00-${TRACE}-${inner}-01`)?.spanId).to.equal(inner);
    expect(parentOf(`00-${TRACE}-${SPAN}-01, 00-${TRACE.replace('4', '5')}-${inner}-01`)).to.equal(undefined);
    expect(parentOf(`00-${TRACE}-${SPAN}-01, junk`)).to.equal(undefined);
  });

  it(`is nothing but ids of their form, whatever is sent (seed ${SEED})`, () => {
    const near = fc.tuple(hex(2), hex(32), hex(16), hex(2)).map((parts) => parts.join('-'));
    fc.assert(
      fc.property(fc.oneof(fc.string(), near), (header) => {
        const parent = parentOf(header);
        if (!parent) return !/^00-/.test(header) || !/^00(-[0-9a-f]+){3}$/.test(header);
        expect(parent.traceId).to.match(/^[0-9a-f]{32}$/);
        expect(parent.spanId).to.match(/^[0-9a-f]{16}$/);
        return header.includes(parent.traceId);
      }),
      { seed: SEED },
    );
  });
});

describe('samplers', () => {
  const parent = (sampled: boolean, traceId = TRACE) => ({ traceId, spanId: SPAN, sampled });
  const fresh = () => 'f'.repeat(32);
  const low = `${'0'.repeat(31)}1`;

  it('record what their names say: without a parent, with one that is recorded, with one that is not', () => {
    const expected = {
      always_on: [fresh(), TRACE, TRACE],
      always_off: [undefined, undefined, undefined],
      parentbased_always_on: [fresh(), TRACE, undefined],
      parentbased_always_off: [undefined, TRACE, undefined],
    } as const;
    for (const [name, wanted] of Object.entries(expected)) {
      const sample = samplerOf(name as keyof typeof expected, 0, fresh);
      expect([sample(undefined), sample(parent(true)), sample(parent(false))], name).to.deep.equal(wanted);
    }
  });

  it('keep a share by the id of the trace, so that all who go by it keep the same', () => {
    expect(samplerOf('traceidratio', 0, fresh)(parent(true))).to.equal(undefined);
    expect(samplerOf('traceidratio', 1, fresh)(parent(false))).to.equal(TRACE);
    expect(samplerOf('traceidratio', 0.5, fresh)(parent(false, low))).to.equal(low);
    expect(samplerOf('parentbased_traceidratio', 0, fresh)(parent(true))).to.equal(TRACE);
    expect(samplerOf('parentbased_traceidratio', 1, fresh)(parent(false))).to.equal(undefined);
    let state = 1;
    const draw = (): string =>
      Array.from({ length: 4 }, () => {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        return state.toString(16).padStart(8, '0');
      }).join('');
    const sample = samplerOf('parentbased_traceidratio', 0.1, draw);
    const kept = Array.from({ length: 10_000 }, () => sample(undefined)).filter((id) => id !== undefined);
    expect(kept.length).to.be.within(800, 1200);
  });
});
