/** The networks of `facts.yaml`: prefixes inline, or the name of a file beside it (network-files.ts reads those). */

import type { DeclaredNetwork } from '../declared/declaration.ts';
import { parsePrefix } from '../declared/prefix.ts';
import { DECLARED_LIMITS, declaredOf, type Fault, type Path, partsOf } from './facts-parts.ts';
import { NETWORK_FILE } from './files.ts';
import { isMap } from './yaml.ts';

const SHAPE = 'write a list of prefixes, {prefixes: [..], withholds: true} or {file: name.txt}';

/** The networks in the order in which they stand. What is faulty is left out; the prefixes of a file are not read here. */
export function networksOf(value: unknown, fault: Fault): readonly DeclaredNetwork[] {
  const networks = declaredOf(
    value,
    ['networks'],
    {},
    fault,
    (name, entry, path) => networkOf(name, entry, path, fault),
    DECLARED_LIMITS.networks,
  );
  return [...networks.values()];
}

function networkOf(name: string, entry: unknown, path: Path, fault: Fault): DeclaredNetwork | undefined {
  const map = Array.isArray(entry) ? { prefixes: entry } : entry;
  if (!isMap(map)) {
    fault(path, SHAPE);
    return undefined;
  }
  const { withholds = false, prefixes, file } = partsOf(map, ['prefixes', 'file', 'withholds'], path, fault);
  if (typeof withholds !== 'boolean') fault([...path, 'withholds'], 'withholds is true or false');
  const network = { name, withholds: withholds === true };
  if (Array.isArray(prefixes) && file === undefined) {
    return { ...network, prefixes: wellFormed(prefixes, Array.isArray(entry) ? path : [...path, 'prefixes'], fault) };
  }
  if (typeof file === 'string' && prefixes === undefined) {
    if (NETWORK_FILE.test(file)) return { ...network, prefixes: undefined, file };
    fault(
      [...path, 'file'],
      `${name}: a network file lies beside facts.yaml and has a name such as blocked.txt: a-z, 0-9 and -`,
    );
  } else fault(path, SHAPE);
  return undefined;
}

function wellFormed(prefixes: readonly unknown[], path: Path, fault: Fault): string[] {
  return prefixes.filter((text, index): text is string => {
    if (typeof text !== 'string') {
      fault([...path, index], 'write a prefix in quotes, such as "203.0.113.0/24"');
      return false;
    }
    const read = parsePrefix(text);
    if ('fault' in read) fault([...path, index], read.fault);
    return !('fault' in read);
  });
}
