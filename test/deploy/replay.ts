/**
 * Builds the image of a Dockerfile and runs it, without an engine: the steps in folders of their own, with this machine's programs in place of
 * the base images', and the result as the root of a mount namespace in which nothing can be written, under the image's user, with the libraries
 * of the system and Node beside it and no other program. Base images themselves, seccomp and cgroups are not part of it.
 */

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { type Outcome, ROOT } from '../support/cli.ts';
import { eventually } from '../support/embedded.ts';
import { readDockerfile, type Stage } from './dockerfile.ts';

const execute = promisify(execFile);

export interface Image {
  /** Of its files; of those of the base image none. */
  readonly root: string;
  readonly env: Readonly<Record<string, string>>;
  readonly user: string;
  readonly entrypoint: readonly string[];
  readonly command: readonly string[];
  readonly healthcheck: readonly string[];
  readonly remove: () => Promise<void>;
}

/** Performs all steps. @throws where one fails, or is none that is known here */
export async function buildImage(dockerfile: string): Promise<Image> {
  const folder = await mkdtemp(path.join(tmpdir(), 'authz-image-'));
  const remove = () => rm(folder, { recursive: true, force: true });
  try {
    const context = path.join(folder, 'context');
    await copyContext(`${dockerfile}.dockerignore`, context);
    const stages = readDockerfile(await readFile(dockerfile, 'utf8'));
    const rootOf = (stage: number): string => path.join(folder, `stage-${stage}`);
    for (const [index, stage] of stages.entries()) {
      const sourceOf = (from: string | undefined): string =>
        from === undefined ? context : rootOf(stages.findIndex(({ name }) => name === from));
      await perform(stage, rootOf(index), sourceOf);
    }
    const last = stages.at(-1);
    const wordsOf = (keyword: string) => last?.steps.findLast((step) => step.keyword === keyword)?.words ?? [];
    const [user = 'root'] = wordsOf('USER');
    return {
      root: rootOf(stages.length - 1),
      env: Object.fromEntries(wordsOf('ENV').map((word) => word.split('=', 2) as [string, string])),
      user,
      entrypoint: wordsOf('ENTRYPOINT'),
      command: wordsOf('CMD'),
      healthcheck: wordsOf('HEALTHCHECK'),
      remove,
    };
  } catch (error) {
    await remove();
    throw error;
  }
}

/** What the ignore file lets into the build: here, all is out but what a line with `!` names. */
async function copyContext(ignore: string, context: string): Promise<void> {
  const [all, ...lines] = (await readFile(ignore, 'utf8')).split('\n').filter((line) => /^[^#]/.test(line));
  if (all !== '*' || lines.some((line) => !line.startsWith('!')))
    throw new Error(`${ignore} must be * and lines with !`);
  for (const line of lines)
    await cp(path.join(ROOT, line.slice(1)), path.join(context, line.slice(1)), { recursive: true });
}

async function perform(stage: Stage, root: string, sourceOf: (from: string | undefined) => string): Promise<void> {
  let folder = root;
  for (const { keyword, flags, words, exec } of stage.steps) {
    if (keyword === 'WORKDIR') {
      folder = path.join(root, words[0] ?? '');
      await mkdir(folder, { recursive: true });
    } else if (keyword === 'COPY') {
      const target = words.at(-1) ?? '';
      for (const word of words.slice(0, -1)) {
        const to = path.join(folder, target, ...(target.endsWith('/') ? [path.basename(word)] : []));
        await cp(path.join(sourceOf(flags.get('from')), word), to, { recursive: true, verbatimSymlinks: true });
      }
    } else if (keyword === 'RUN') {
      const [program = '', ...args] = words;
      if (!exec) throw new Error(`RUN ${words.join(' ')} needs a shell`);
      await execute(program, args, { cwd: folder, env: { PATH: process.env['PATH'], HOME: process.env['HOME'] } });
    } else if (!CONFIGURES.includes(keyword)) throw new Error(`no step ${keyword} is known here`);
  }
}

const CONFIGURES = ['ENV', 'USER', 'EXPOSE', 'HEALTHCHECK', 'ENTRYPOINT', 'CMD'];

/**
 * The root: a tmpfs with the image's folders, Node and the system's libraries, all read-only before anything runs in it. $1: the
 * image's files; $2: Node; $3: uid:gid; $4: a folder whose files are seen beside the image's, as volumes, or nothing; what follows is run.
 */
const ENTER = `
set -e
root=$1 node=$2 user=$3 volumes=$4
shift 4
new=$root.mounted
mkdir -p "$new"
mount -t tmpfs -o mode=0755 root "$new"
readonly_bind() { mount --bind "$1" "$new$2"; mount -o remount,bind,ro "$new$2"; }
for folder in "$root"/* \${volumes:+"$volumes"/*}; do
  mkdir "$new/\${folder##*/}"
  readonly_bind "$folder" "/\${folder##*/}"
done
mkdir -p "$new/usr/lib" "$new/nodejs/bin" "$new/proc" "$new/dev"
readonly_bind /usr/lib /usr/lib
for folder in /lib /lib64; do
  if [ -L "$folder" ]; then cp -P "$folder" "$new$folder"; else mkdir "$new$folder"; readonly_bind "$folder" "$folder"; fi
done
[ ! -d /usr/lib64 ] || { mkdir "$new/usr/lib64"; readonly_bind /usr/lib64 /usr/lib64; }
touch "$new/nodejs/bin/node" "$new/dev/null"
readonly_bind "$node" /nodejs/bin/node
mount --bind /dev/null "$new/dev/null"
mount -t proc proc "$new/proc"
mount -o remount,ro "$new"
exec setpriv --no-new-privs chroot --userspec="$user" --groups= "$new" "$@"
`;

/** A container that runs. */
export interface Container {
  /** Of its first process, in the machine's own namespace. */
  readonly pid: number;
  /** What it has written to its standard error so far. */
  readonly log: () => string;
  /** Runs beside it, as the same user: as an engine runs a health check. */
  readonly exec: (words: readonly string[]) => Promise<Outcome>;
  /** SIGTERM to its process 1. Resolves with the code that it ends with. */
  readonly stop: () => Promise<number | null>;
  readonly kill: () => void;
}

export interface Setup {
  readonly env?: Readonly<Record<string, string>>;
  /** A folder whose own folders are seen in the root, beside the image's. */
  readonly volumes?: string;
}

const enter = (image: Image, { env, volumes = '' }: Setup, command: readonly string[]): ChildProcess => {
  const shell = ['/bin/sh', '-c', ENTER, 'sh', image.root, process.execPath, image.user, volumes];
  const namespaces = ['--mount', '--pid', '--fork', '--kill-child'];
  return spawn('unshare', [...namespaces, ...shell, ...image.entrypoint, ...command], {
    env: { ...BASE_ENV, ...image.env, ...env },
  });
};

/** Runs a command of the image to its end; it stands in place of CMD. */
export const runImage = (image: Image, command: readonly string[], setup: Setup = {}): Promise<Outcome> =>
  outcomeOf(enter(image, setup, command));

/**
 * Set, though empty, NODE_V8_COVERAGE stops Node from handing its own to the child: the read-only root has no folder for it, and what
 * runs there would say so.
 */
const BASE_ENV = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', NODE_V8_COVERAGE: '' };

async function outcomeOf(child: ChildProcess): Promise<Outcome> {
  const textOf = async (stream: Readable | null): Promise<string> => (stream ? text(stream) : '');
  const closed = once(child, 'close');
  const [stdout, stderr, [code]] = await Promise.all([textOf(child.stdout), textOf(child.stderr), closed]);
  return { code, stdout, stderr };
}

/** Starts the image as it is. */
export async function startImage(image: Image, setup: Setup): Promise<Container> {
  const child = enter(image, setup, image.command);
  let log = '';
  child.stderr?.on('data', (chunk) => (log += chunk));
  const closed = once(child, 'close');
  const pid = await eventually(async () => {
    if (child.exitCode !== null) throw new Error(log);
    const [first] = (await readFile(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8')).split(' ');
    return first ? Number(first) : undefined;
  });
  const [uid = '', gid = ''] = image.user.split(':');
  const inside = ['--target', `${pid}`, '--mount', '--pid', '--root', '--setuid', uid, '--setgid', gid, '--'];
  return {
    pid,
    log: () => log,
    exec: (command) =>
      outcomeOf(spawn('nsenter', [...inside, ...command], { env: { ...BASE_ENV, ...image.env, ...setup.env } })),
    stop: async () => {
      process.kill(pid, 'SIGTERM');
      const [code] = await closed;
      return code;
    },
    // The process itself, not unshare: a change of the user takes away that it dies with its parent.
    kill: () => {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It has ended already.
      }
    },
  };
}
