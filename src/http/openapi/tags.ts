/** The groups that the document shows the routes in, by how their paths begin. */

interface Tag {
  readonly name: string;
  readonly description: string;
}

const TAGS: readonly (Tag & { readonly paths: readonly string[] })[] = [
  { name: 'decisions', paths: ['/authorize'], description: 'May this API key do this action on this business?' },
  {
    name: 'authzen',
    paths: ['/access', '/.well-known'],
    description: 'The same decisions, and searches, in the words of the AuthZEN Authorization API 1.0.',
  },
  {
    name: 'gateways',
    paths: ['/gateway'],
    description: 'The same decisions, for gateways that ask before they let a request through.',
  },
  { name: 'keys', paths: ['/keys'], description: 'API keys: make, change, rotate, revoke and delete them.' },
  {
    name: 'directory',
    paths: ['/users', '/businesses'],
    description: 'The owners of keys, businesses and their members.',
  },
  { name: 'audit', paths: ['/audit'], description: 'What was decided and why, and who changed what.' },
  { name: 'freezes', paths: ['/freezes'], description: 'Deny at once, for a while.' },
  { name: 'policy', paths: ['/policy'], description: 'What decides, and what it would say.' },
  { name: 'service', paths: [], description: 'The process: its health, its numbers, this document.' },
];

/** The name of the group of a path: `service` where it begins like none of the others. */
export const tagOf = (path: string): string =>
  TAGS.find(({ paths }) => paths.some((one) => path === one || path.startsWith(`${one}/`)))?.name ?? 'service';

/** The groups that these paths are in, for the document. */
export function tagsOf(paths: readonly string[]): Tag[] {
  const used = new Set(paths.map(tagOf));
  return TAGS.filter(({ name }) => used.has(name)).map(({ name, description }) => ({ name, description }));
}
