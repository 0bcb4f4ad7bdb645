/** A policy that declares and uses much: 20 attributes in rows for every action, 10 networks of 10,000 prefixes, 5 schedules. */

import type { PolicyTexts } from '../../src/policy/folder/files.ts';

const ATTRIBUTES = 20;
const NETWORKS = 10;
const PREFIXES = 10_000;
const SCHEDULES = 5;

const numbers = (count: number): number[] => [...Array(count).keys()];

/** Networks 0-4 are apart; each of 5-9 lies within one of them, and networks 0 and 1 share a hundred prefixes. */
const prefixOf = (network: number, index: number): string => {
  const around = network % 5;
  const [first, number] = network === 1 && index < 100 ? [10, index] : [10 + around, index];
  return network < 5
    ? `${first}.${number >> 8}.${number & 255}.0/24`
    : `${first}.${number >> 8}.${number & 255}.128/25`;
};

export const networkFile = (network: number): string =>
  numbers(PREFIXES)
    .map((index) => `${prefixOf(network, index)}\n`)
    .join('');

const factsOf = (attributes: number): string => `attributes:
  user:
${numbers(attributes)
  .map((n) => `    tier${n}: { values: [low, middle, high], withholds: ${n % 2 === 0} }`)
  .join('\n')}
networks:
${numbers(NETWORKS)
  .map((n) => `  net${n}: { file: net${n}.txt, withholds: true }`)
  .join('\n')}
schedules:
${numbers(SCHEDULES)
  .map(
    (n) =>
      `  hours${n}: { days: mon-fri, from: "0${n + 4}:00", to: "1${n + 3}:00", zone: ${['Europe/Berlin', 'America/New_York', 'Asia/Tokyo', 'UTC', 'Australia/Sydney'][n]}, except: ["2026-12-25", "2027-01-01"] }`,
  )
  .join('\n')}
`;

const row = (id: string, when: string): string => `p, ${id}, *, "${when}", deny, PERMISSION_DENIED\n`;

/** Each row takes away: by an attribute and a network, or by a network outside of a schedule. */
const rowsOf = (attributes: number): string =>
  [
    ...numbers(attributes).map((n) =>
      n % 2 === 0
        ? row(`tier-${n}`, `r.user.tier${n} == 'low' && r.network.net${n % NETWORKS}`)
        : row(`tier-${n}`, `!(r.user.tier${n} in ['middle', 'high']) && r.network.net${n % NETWORKS}`),
    ),
    ...numbers(SCHEDULES).map((n) => row(`closed-${n}`, `!r.schedule.hours${n} && r.network.net${n + 5}`)),
  ].join('');

/** The shipped policy with all of it, or with fewer attributes and their rows. */
export const declaredLarge = (shipped: PolicyTexts, attributes = ATTRIBUTES): PolicyTexts =>
  new Map([
    ...[...shipped].filter(([name]) => name !== 'facts.yaml'),
    ['facts.yaml', `${shipped.get('facts.yaml') ?? ''}\n${factsOf(attributes)}`],
    ['50-declared.csv', rowsOf(attributes)],
    ...numbers(NETWORKS).map((n) => [`net${n}.txt`, networkFile(n)] as const),
  ]);
