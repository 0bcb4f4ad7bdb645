/** Which trace a request is part of, and whether it is recorded: headers as callers send them, samplers by their names. */

import { ROOT_CONTEXT } from '@opentelemetry/api';
import { SamplingDecision, TraceIdRatioBasedSampler } from '@opentelemetry/sdk-trace';
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
  const low = `${'0'.repeat(31)}1`;
  const ID = /^(?!0{32})[0-9a-f]{32}$/;

  it('record what their names say: without a parent, with one that is recorded, with one that is not', () => {
    const expected = {
      always_on: ['new', TRACE, TRACE],
      always_off: [undefined, undefined, undefined],
      parentbased_always_on: ['new', TRACE, undefined],
      parentbased_always_off: [undefined, TRACE, undefined],
    } as const;
    for (const [name, wanted] of Object.entries(expected)) {
      const sample = samplerOf(name as keyof typeof expected, 0);
      const root = sample(undefined);
      if (root !== undefined) expect(root).to.match(ID).and.not.equal(sample(undefined));
      expect([root && 'new', sample(parent(true)), sample(parent(false))], name).to.deep.equal(wanted);
    }
  });

  it('keep a share by the id of the trace, so that all who go by it keep the same', () => {
    expect(samplerOf('traceidratio', 0)(parent(true))).to.equal(undefined);
    expect(samplerOf('traceidratio', 1)(parent(false))).to.equal(TRACE);
    expect(samplerOf('traceidratio', 0.5)(parent(false, low))).to.equal(low);
    expect(samplerOf('parentbased_traceidratio', 0)(parent(true))).to.equal(TRACE);
    expect(samplerOf('parentbased_traceidratio', 1)(parent(false))).to.equal(undefined);
    for (const share of [0, 0.1, 0.7, 1]) {
      const drawn = Array.from({ length: 10_000 }, () => samplerOf('parentbased_traceidratio', share)(undefined));
      const kept = drawn.filter((id) => id !== undefined);
      // Of 10,000, five times the standard deviation on either side.
      expect(kept.length, `${share}`).to.be.within(share * 10_000 - 250, share * 10_000 + 250);
      const sdk = new TraceIdRatioBasedSampler(share);
      for (const id of kept) {
        expect(id).to.match(ID);
        expect(sdk.shouldSample(ROOT_CONTEXT, id).decision).to.equal(SamplingDecision.RECORD_AND_SAMPLED);
      }
    }
  });
});
