/**
 * Compiles a zod schema into a fast acceptor, one closure for each node: zod's own parse costs `/authorize` three times as
 * much. Made from the schema, so that what is valid is defined once. It accepts values and never rejects one: whatever it does
 * not accept is parsed again by zod, which finds the issues.
 *
 * Compiled are text, arrays, strict objects, custom schemas, optional and null, the first option of a union, transforms, and the
 * checks of these. Any other kind of schema or check is left to zod: it accepts nothing.
 */

import type { z } from 'zod';

type Schema = z.core.$ZodType;
type Predicate = (value: unknown) => boolean;
/** The output, or UNDECIDED where zod has to parse the value. */
type Accept = (value: unknown) => unknown;

const UNDECIDED = Symbol('undecided');
const leaveToZod: Accept = () => UNDECIDED;

/**
 * Returns the output of the schema for a value that JSON.parse returned, or undefined where zod has to parse it. Parts that no
 * transform changes are not copied: they are the same objects as in the value. The refinements and transforms must be pure
 * and synchronous.
 * INVARIANT: what is accepted, the schema accepts with the same outcome (test/input/compile.test.ts).
 */
export function compile<T extends z.ZodType>(schema: T): (value: unknown) => z.output<T> | undefined {
  const accept = compileSchema(schema);
  return (value) => {
    const parsed = accept(value);
    return parsed === UNDECIDED ? undefined : (parsed as z.output<T>);
  };
}

function compileSchema(schema: Schema): Accept {
  const accept = compileType(schema as z.core.$ZodTypes);
  const [first, ...others] = (schema._zod.def.checks ?? []).map(compileCheck);
  if (!first) return accept;
  const holds = others.reduce<Predicate>((before, check) => (value) => before(value) && check(value), first);
  return (value) => {
    const parsed = accept(value);
    return parsed !== UNDECIDED && holds(parsed) ? parsed : UNDECIDED;
  };
}

function compileType(schema: z.core.$ZodTypes): Accept {
  const { def } = schema._zod;
  switch (def.type) {
    case 'string':
      // The check of a format such as z.uuid() stands in the definition itself.
      return def.coerce || 'format' in def ? leaveToZod : (value) => (typeof value === 'string' ? value : UNDECIDED);
    case 'optional':
      return compileSchema(def.innerType);
    case 'nullable': {
      const accept = compileSchema(def.innerType);
      return (value) => (value === null ? null : accept(value));
    }
    case 'union':
      // A later option counts only for what the earlier ones reject, and rejecting is zod's. An exclusive union (xor) asks all.
      return def.options[0] && def.inclusive !== false ? compileSchema(def.options[0]) : leaveToZod;
    case 'pipe':
      // That of a codec has transforms of its own.
      if ('transform' in def) return leaveToZod;
      return piped(compileSchema(def.in), compileSchema(def.out));
    case 'transform':
      return transformed(schema);
    case 'array':
      return arrayOf(compileSchema(def.element));
    case 'custom':
      return (value) => (def.fn(value as never) === true ? value : UNDECIDED);
    case 'object':
      return def.catchall?._zod.def.type === 'never' ? strictObject(def.shape) : leaveToZod;
    default:
      return leaveToZod;
  }
}

const piped =
  (from: Accept, to: Accept): Accept =>
  (value) => {
    const parsed = from(value);
    return parsed === UNDECIDED ? UNDECIDED : to(parsed);
  };

/** By zod's own parse, which gives the transform its context: through it any transform may report issues, whatever its arity. */
const transformed =
  ({ _zod }: Schema): Accept =>
  (value) => {
    const payload = _zod.parse({ value, issues: [] }, {});
    return payload instanceof Promise || payload.issues.length > 0 ? UNDECIDED : payload.value;
  };

const arrayOf =
  (accept: Accept): Accept =>
  (value) => {
    if (!Array.isArray(value)) return UNDECIDED;
    const parsed: unknown[] = [];
    for (const item of value) {
      const one = accept(item);
      if (one === UNDECIDED) return UNDECIDED;
      parsed.push(one);
    }
    return parsed;
  };

function strictObject(shape: Readonly<Record<string, Schema>>): Accept {
  const fields = Object.entries(shape).map(([name, field]) => {
    const { def, optin } = field._zod;
    // `optin` is another where something stands in for an absent value.
    return { name, accept: compileSchema(field), mayBeAbsent: def.type === 'optional' && optin === 'optional' };
  });
  return (value) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return UNDECIDED;
    const given = value as Readonly<Record<string, unknown>>;
    let changed: Record<string, unknown> | undefined;
    let unread = Object.keys(given).length;
    for (const { name, accept, mayBeAbsent } of fields) {
      const field = given[name];
      if (field === undefined) {
        if (mayBeAbsent) continue;
        return UNDECIDED;
      }
      const parsed = accept(field);
      if (parsed === UNDECIDED) return UNDECIDED;
      unread -= 1;
      if (parsed === field) continue;
      changed ??= { ...given };
      changed[name] = parsed;
    }
    // More keys than fields: zod names those that it does not know.
    return unread === 0 ? (changed ?? given) : UNDECIDED;
  };
}

function compileCheck(check: z.core.$ZodCheck<never>): Predicate {
  const { def } = (check as unknown as z.core.$ZodChecks)._zod;
  if (isRefinement(def)) return (value) => def.fn(value) === true;
  switch (def.check) {
    case 'min_length':
      // zod counts the code points of a text, which are fewer than its `length`.
      return (value) => Array.isArray(value) && value.length >= def.minimum;
    case 'max_length':
      return (value) => (Array.isArray(value) || typeof value === 'string') && value.length <= def.maximum;
    case 'string_format': {
      const { format, pattern } = def;
      // A global or sticky expression would begin where it last ended.
      if (format !== 'regex' || !pattern || pattern.global || pattern.sticky) return () => false;
      return (value) => typeof value === 'string' && pattern.test(value);
    }
    default:
      return () => false;
  }
}

/** What `refine` adds; `superRefine` has no `fn`. */
const isRefinement = (def: object): def is { readonly fn: (value: unknown) => unknown } =>
  'check' in def && def.check === 'custom' && 'fn' in def && typeof def.fn === 'function';
