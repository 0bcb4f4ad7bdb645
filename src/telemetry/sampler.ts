/** Which requests are traced, decided once at their head: the samplers of OpenTelemetry by their names. */

import { ROOT_CONTEXT } from '@opentelemetry/api';
import { SamplingDecision, TraceIdRatioBasedSampler } from '@opentelemetry/sdk-trace';
import type { Config } from '../config.ts';
import type { Parent } from './trace-context.ts';

/** The trace in which a request is to be recorded; undefined: in none. */
export type Sample = (parent: Parent | undefined) => string | undefined;

/** `ratio`: the share that the samplers with one keep, by the id of the trace, so that all who go by it keep the same. */
export function samplerOf(name: Config['OTEL_TRACES_SAMPLER'], ratio: number, newTraceId: () => string): Sample {
  const byRatio = new TraceIdRatioBasedSampler(ratio);
  const idOf = (parent: Parent | undefined): string => parent?.traceId ?? newTraceId();
  const roots: Readonly<Record<string, Sample>> = {
    always_on: idOf,
    always_off: () => undefined,
    traceidratio: (parent) => {
      const id = idOf(parent);
      return byRatio.shouldSample(ROOT_CONTEXT, id).decision === SamplingDecision.NOT_RECORD ? undefined : id;
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
