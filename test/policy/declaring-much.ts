/** A policy that declares and uses 20 attributes, 10 networks and 5 schedules: the shipped rows, and rows over these. */

import type { PolicyTexts } from '../../src/policy/folder/files.ts';

/** Attributes, by whose they are; each is `on` or `off`. */
export const MANY_ATTRIBUTES = {
  key: Array.from({ length: 8 }, (_, n) => `k${n}`),
  user: Array.from({ length: 6 }, (_, n) => `u${n}`),
  business: Array.from({ length: 6 }, (_, n) => `b${n}`),
} as const;
const NETWORKS = 10;
const SCHEDULES = ['Europe/Berlin', 'America/New_York', 'Asia/Kolkata', 'Australia/Sydney', 'UTC'];

const PATHS = [
  ...MANY_ATTRIBUTES.key.map((name) => `r.key.${name}`),
  ...MANY_ATTRIBUTES.user.map((name) => `r.user.${name}`),
  ...MANY_ATTRIBUTES.business.map((name) => `r.target.${name}`),
];

/**
 * `shipped` with them; each network has so many prefixes. Whoever has no attribute is
 * allowed to make calls, and whoever has all of them `on` all that the shipped rows allow. A row for calls reads three attributes, two networks and a schedule; each other fact is read by a row for actions of its own.
 */
export function declaringMuch(shipped: PolicyTexts, prefixes: number): PolicyTexts {
  const attributes = Object.entries(MANY_ATTRIBUTES).map(
    ([owner, names]) =>
      `  ${owner}: { ${names.map((name) => `${name}: { values: ["on", "off"]${name.endsWith('0') ? ', withholds: true' : ''} }`).join(', ')} }`,
  );
  const networks = Array.from({ length: NETWORKS }, (_, n) => `  n${n}: { file: n${n}.txt }`);
  const schedules = SCHEDULES.map(
    (zone, n) => `  s${n}: { days: mon-fri, from: "0${n + 5}:00", to: "${n + 15}:30", zone: ${zone} }`,
  );
  const facts = ['attributes:', ...attributes, 'networks:', ...networks, 'schedules:', ...schedules];
  const rows = PATHS.map(
    (path, n) =>
      `p, declared-${n}, noun${n}:*, "${path} ${path.endsWith('0') ? "== 'off'" : "!= 'on'"} && !r.network.n${n % NETWORKS} && !r.schedule.s${n % SCHEDULES.length}", deny, PERMISSION_DENIED`,
  );
  const calls = `p, declared-calls, call:*, "(r.key.k0 == 'off' || r.user.u0 == 'off' || r.target.b0 == 'off') && !r.network.n0 && !r.network.n1 && !r.schedule.s0", deny, PERMISSION_DENIED`;
  return new Map([
    ...shipped,
    ['facts.yaml', `${shipped.get('facts.yaml') ?? ''}\n${facts.join('\n')}\n`],
    ['50-declared.csv', `${[...rows, calls].join('\n')}\n`],
    ...Array.from({ length: NETWORKS }, (_, n) => [`n${n}.txt`, prefixesOf(n, prefixes)] as const),
  ]);
}

/** Prefixes of /24 to /28 and of /48, apart within a network; the networks overlap here and there. */
function prefixesOf(network: number, count: number): string {
  const lines = Array.from({ length: count }, (_, n) => {
    const at = n * NETWORKS + (n % 50 === 0 ? 0 : network);
    if (n % 4 === 3) return `2001:${(at >> 8).toString(16)}:${(at & 255).toString(16)}::/48`;
    return `${10 + (at >> 16)}.${(at >> 8) & 255}.${at & 255}.0/${24 + (n % 50 === 0 ? 0 : n % 5)}`;
  });
  return `${lines.join('\n')}\n`;
}
