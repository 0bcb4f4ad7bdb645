/** Preloaded into a process: its wall clock jumps forward or back by an hour several times a second, its monotonic one not. */

const HOUR_MS = 3_600_000;
const RealDate = Date;
const shift = () => [0, HOUR_MS, -HOUR_MS][Math.floor(performance.now() / 300) % 3] ?? 0;
const now = () => RealDate.now() + shift();

globalThis.Date = new Proxy(RealDate, {
  construct: (target, args) => Reflect.construct(target, args.length === 0 ? [now()] : args),
  get: (target, name) => (name === 'now' ? now : Reflect.get(target, name)),
});
