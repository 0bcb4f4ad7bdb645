/** Preloaded (NODE_OPTIONS=--import=...), it moves the clock of a process by MOVED_CLOCK_MS, as the clock of a machine may be wrong. */

const moved = Number(process.env['MOVED_CLOCK_MS']);

globalThis.Date = new Proxy(Date, {
  construct: (target, parts, made) =>
    Reflect.construct(target, parts.length === 0 ? [target.now() + moved] : parts, made),
  get: (target, name) => (name === 'now' ? () => target.now() + moved : Reflect.get(target, name)),
});
