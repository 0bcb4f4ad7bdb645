/** What a request says of the trace that it is part of: its header `traceparent` (W3C Trace Context), read by hand. */

/** The caller's span. */
export interface Parent {
  /** 32 hex digits. */
  readonly traceId: string;
  /** 16 hex digits. */
  readonly spanId: string;
  /** Whether the caller records its part of the trace. */
  readonly sampled: boolean;
}

/** Version, trace, span, flags; of a later version, more may follow. */
const FORM = /^(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

/**
 * Undefined where there is none, or none that is valid. Node joins repeats: where several are of one trace, the last counts, because
 * a library that hands one on by hand and an instrumentation that adds its own, of the span within, are often both there.
 */
export function parentOf(header: string | readonly string[] | undefined): Parent | undefined {
  if (header === undefined) return undefined;
  const all = String(header).split(',').map(parse);
  const last = all.at(-1);
  return all.every((one) => one !== undefined && one.traceId === last?.traceId) ? last : undefined;
}

function parse(text: string): Parent | undefined {
  const [, version, traceId, spanId, flags = '', more] = FORM.exec(text.trim()) ?? [];
  if (traceId === undefined || spanId === undefined || (version === '00' && more !== undefined)) return undefined;
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

/** The header of a span that is recorded. */
export const headerOf = (traceId: string, spanId: string): string => `00-${traceId}-${spanId}-01`;
