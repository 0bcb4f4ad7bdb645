/**
 * nginx, Caddy and HAProxy, each run by what deploy/gateways/ ships for it. Of a shipped file only its addresses, the place of its
 * other files and, where a test asks for patience, its time limits are replaced: a text that is no longer there fails.
 */

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { ENVIRONMENT, ROOT } from './cli.ts';
import { eventually } from './embedded.ts';
import { freePort } from './redis.ts';

export const GATEWAYS = ['nginx', 'caddy', 'haproxy'] as const;
export type GatewayName = (typeof GATEWAYS)[number];

export interface Wiring {
  /** Ports of the loopback interface: of iqra-authz, and of the service behind the gateway. */
  readonly authz: number;
  readonly app: number;
  /** The caller token. */
  readonly caller: string;
  /** Whether the gateway waits ten times as long as it does as shipped, so that no busy machine makes a 503 of an answer. */
  readonly patient?: boolean;
  /** false: nginx proxies without asking, to compare with. */
  readonly asks?: boolean;
  /** What else an operator has changed in the recipe of nginx. */
  readonly changes?: Replacements;
}

export interface Gateway {
  readonly name: GatewayName;
  readonly address: string;
  /** Where it speaks HTTP/2 without TLS, which is the same to it behind TLS. */
  readonly http2: string;
  /** What it has written to its log and its standard error. */
  readonly log: () => string;
  readonly pid: number;
  readonly close: () => Promise<void>;
}

/** `nginx/1.22.1`, or undefined where it is not installed. */
export function versionOf(name: GatewayName): string | undefined {
  const [option, pattern] = { nginx: ['-v', /nginx\/[\d.]+/], caddy: ['version', /[\d.]+/], haproxy: ['-v', /[\d.]+/] }[
    name
  ] as [string, RegExp];
  try {
    // nginx writes it to the standard error.
    const output = execFileSync('/bin/sh', ['-c', `${name} ${option} 2>&1`], { encoding: 'utf8', env: WITH_SBIN });
    return pattern.exec(output)?.[0];
  } catch {
    return undefined;
  }
}

/** Debian has nginx and HAProxy where only root looks. */
const WITH_SBIN = { ...ENVIRONMENT, PATH: `${ENVIRONMENT.PATH}:/usr/sbin` };
const SHIPPED = path.join(ROOT, 'deploy', 'gateways');

/** A shipped file with these texts replaced, each of which must be there. */
export function shipped(file: string, replacements: readonly (readonly [text: string, by: string])[]): string {
  let content = readFileSync(path.join(SHIPPED, file), 'utf8');
  for (const [text, by] of replacements) {
    if (!content.includes(text)) throw new Error(`deploy/gateways/${file} has no ${JSON.stringify(text)} any more`);
    content = content.replaceAll(text, by);
  }
  return content;
}

interface Ports {
  readonly http1: number;
  readonly http2: number;
}

interface Program {
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

type Replacements = readonly (readonly [text: string, by: string])[];

const addresses = ({ authz, app }: Wiring): Replacements => [
  ['127.0.0.1:8080', `127.0.0.1:${authz}`],
  ['127.0.0.1:3000', `127.0.0.1:${app}`],
];

const askingNginx = (wiring: Wiring, { http1, http2 }: Ports, caller: string): string =>
  shipped('nginx/iqra.conf', [
    ...addresses(wiring),
    ['listen 8000;', `listen 127.0.0.1:${http1};\n    listen 127.0.0.1:${http2} http2;`],
    ['/etc/nginx/iqra-caller.conf', caller],
    ...(wiring.patient ? [['_timeout 1s;', '_timeout 10s;'] as const] : []),
    ...(wiring.changes ?? []),
  ]);

const withoutAsking = ({ app }: Wiring, { http1, http2 }: Ports): string => `
  upstream app { server 127.0.0.1:${app}; keepalive 64; }
  server {
    listen 127.0.0.1:${http1};
    listen 127.0.0.1:${http2} http2;
    location / {
      proxy_pass http://app;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
    }
  }`;

/** Writes what each needs into its folder, and tells how it is started. */
const PREPARE: Readonly<Record<GatewayName, (folder: string, wiring: Wiring, ports: Ports) => Program>> = {
  nginx: (folder, wiring, ports) => {
    const caller = path.join(folder, 'iqra-caller.conf');
    writeFileSync(caller, `proxy_set_header Iqra-Caller "Bearer ${wiring.caller}";\n`, { mode: 0o600 });
    const recipe = wiring.asks === false ? withoutAsking(wiring, ports) : askingNginx(wiring, ports, caller);
    writeFileSync(path.join(folder, 'iqra.conf'), recipe);
    const kept = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
      (name) => `${name}_temp_path ${path.join(folder, name)};`,
    );
    const main = path.join(folder, 'nginx.conf');
    writeFileSync(
      main,
      `daemon off; pid ${folder}/pid; error_log stderr; worker_processes 1; events {}
      http { access_log off; keepalive_requests 1000000000; ${kept.join(' ')} include ${folder}/iqra.conf; }`,
    );
    return { args: ['-e', 'stderr', '-c', main] };
  },
  caddy: (folder, wiring, { http1, http2 }) => {
    const recipe = shipped('caddy/Caddyfile', [
      ...addresses(wiring),
      [':8000 {', `http://:${http1}, http://:${http2} {\n\tbind 127.0.0.1`],
      ['admin off', 'admin off\n\tservers {\n\t\tprotocols h1 h2c\n\t}'],
      ...(wiring.patient ? [['_timeout 1s', '_timeout 10s'] as const] : []),
    ]);
    const file = path.join(folder, 'Caddyfile');
    writeFileSync(file, recipe);
    const env = { IQRA_CALLER: wiring.caller, XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder };
    return { args: ['run', '--config', file, '--adapter', 'caddyfile'], env };
  },
  haproxy: (folder, wiring, { http1, http2 }) => {
    const lua = path.join(folder, 'iqra.lua');
    const patience: Replacements = wiring.patient ? [['TIMEOUT_MS = 1000', 'TIMEOUT_MS = 10000']] : [];
    writeFileSync(lua, shipped('haproxy/iqra.lua', patience));
    const recipe = shipped('haproxy/haproxy.cfg', [
      ...addresses(wiring),
      ['bind :8000', `bind 127.0.0.1:${http1}\n    bind 127.0.0.1:${http2} proto h2`],
      ['/etc/haproxy/iqra.lua', lua],
    ]);
    const file = path.join(folder, 'haproxy.cfg');
    writeFileSync(file, recipe);
    return { args: ['-db', '-f', file], env: { IQRA_CALLER: wiring.caller } };
  },
};

const running = new Set<ChildProcess>();
process.once('exit', () => {
  // SIGTERM, by which nginx takes its workers along.
  for (const child of running) child.kill('SIGTERM');
});

/** Starts it on free ports of the loopback interface; resolves once it listens. */
export async function startGateway(name: GatewayName, wiring: Wiring): Promise<Gateway> {
  const folder = mkdtempSync(path.join(tmpdir(), `authz-${name}-`));
  // Workers of nginx are not root.
  chmodSync(folder, 0o755);
  const ports = { http1: await freePort(), http2: await freePort() };
  const { args, env = {} } = PREPARE[name](folder, wiring, ports);
  const child = spawn(name, args, { env: { ...WITH_SBIN, ...env }, stdio: ['ignore', 'ignore', 'pipe'] });
  running.add(child);
  let log = '';
  child.stderr.on('data', (chunk) => (log += chunk));
  const ended = once(child, 'close').then(() => running.delete(child));
  await eventually(async () => {
    if (child.exitCode !== null) throw new Error(`${name} has ended:\n${log}`);
    return (await listens(ports.http1)) && (await listens(ports.http2)) ? true : undefined;
  });
  return {
    name,
    address: `http://127.0.0.1:${ports.http1}`,
    http2: `http://127.0.0.1:${ports.http2}`,
    log: () => log,
    pid: child.pid ?? 0,
    close: async () => {
      child.kill('SIGTERM');
      await ended;
      rmSync(folder, { recursive: true });
    },
  };
}

const listens = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
