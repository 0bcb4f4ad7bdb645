/** Which requests are traced, decided once at their head: the samplers of OpenTelemetry by their names. */

import { ROOT_CONTEXT } from '@opentelemetry/api';
import { SamplingDecision, TraceIdRatioBasedSampler } from '@opentelemetry/sdk-trace';
import type { Config } from '../config.ts';
import type { Parent } from './trace-context.ts';

/** The trace in which a request is to be recorded; undefined: in none. */
export type Sample = (parent: Parent | undefined) => string | undefined;

/** `ratio`: the share that the samplers with one keep, by the id of the trace, so that all who go by it keep the same. */
export function samplerOf(name: Config['OTEL_TRACES_SAMPLER'], ratio: number): Sample {
  const byRatio = new TraceIdRatioBasedSampler(ratio);
  const keeps = (id: string): boolean =>
    byRatio.shouldSample(ROOT_CONTEXT, id).decision !== SamplingDecision.NOT_RECORD;
  const roots: Readonly<Record<string, Sample>> = {
    always_on: (parent) => parent?.traceId ?? drawTrace(1),
    always_off: () => undefined,
    traceidratio: (parent) => {
      if (!parent) return drawTrace(ratio);
      return keeps(parent.traceId) ? parent.traceId : undefined;
    },
  };
  const root = roots[name.replace('parentbased_', '')];
  if (!root) throw new Error(`there is no sampler ${name}`);
  if (!name.startsWith('parentbased_')) return root;
  return (parent) => {
    if (!parent) return root(undefined);
    return parent.sampled ? parent.traceId : undefined;
  };
}

/**
 * The id of a new trace, where the SDK's sampler would keep that share of ids with it: the exclusive or of its four words is below the share. Drawn as
 * numbers, because most are not kept, and a text for each costs a request more than all else that is done for one that is not traced.
 */
function drawTrace(share: number): string | undefined {
  const [a, b, c, d] = [word(), word(), word(), word()];
  if (share < 1 && (a ^ b ^ c ^ d) >>> 0 >= Math.floor(share * 0xffffffff)) return undefined;
  const id = digits(a) + digits(b) + digits(c) + digits(d);
  // All zeros name no trace.
  return /[1-9a-f]/.test(id) ? id : drawTrace(share);
}

const word = (): number => Math.floor(Math.random() * 2 ** 32);
const digits = (word: number): string => word.toString(16).padStart(8, '0');
