/** Advice of `authz policy check --database`: what the database holds of attributes and roles that the folder does not declare. */

import { countUndeclared, type Undeclared } from '../../directory/undeclared.ts';
import type { Policy } from '../../policy/decide.ts';
import { FACTS_FILE, type PolicyTexts } from '../../policy/folder/files.ts';
import type { Finding } from '../../policy/folder/findings.ts';
import { parseYaml } from '../../policy/folder/yaml.ts';
import { withPresentDatabase } from '../terminal/database.ts';
import { plural } from '../terminal/output.ts';
import type { Terminal } from '../terminal/terminal.ts';

/** More lines say no more to a person; the last one counts the rest. */
const MOST = 30;

/** The most frequent first, each at the place where it could be declared. @throws Failure, Refusal */
export async function adviceOnStored(terminal: Terminal, texts: PolicyTexts, { schema }: Policy): Promise<Finding[]> {
  const stored = await withPresentDatabase(terminal, ({ db }) => countUndeclared(db, schema.declaration));
  const placeOf = placesIn(texts.get(FACTS_FILE));
  const advice = (path: readonly string[], message: string): Finding => ({
    file: FACTS_FILE,
    ...placeOf(path),
    rule: 'undeclared-value',
    message,
  });
  const more = stored.length - MOST;
  return [
    ...stored.slice(0, MOST).map((one) => advice(pathOf(one), says(one))),
    ...(more > 0 ? [advice([], `and ${plural(more, 'more value')}, which fewer have`)] : []),
  ];
}

/** The place of the innermost part of a path that the file has. */
function placesIn(text: string | undefined): (path: readonly string[]) => Pick<Finding, 'line' | 'column'> {
  const { place } = parseYaml(FACTS_FILE, text, () => undefined);
  return (path) => {
    const parts = path.map((_, index) => place(path.slice(0, path.length - index)));
    // The file begins with a name, so only what is not there has its first place.
    return parts.find(({ line, column }) => line > 1 || column > 1) ?? place([]);
  };
}

const pathOf = ({ of, name }: Undeclared): string[] => (of === 'member' ? ['roles'] : ['attributes', of, name]);

function says({ of, name, value, count }: Undeclared): string {
  const [one, many] = NOUNS[of];
  const those = `${plural(count, one, many)} ${count === 1 ? 'has' : 'have'}`;
  if (of === 'member') return `${those} the role ${JSON.stringify(value)}, which is not declared: they are other`;
  return `${those} ${name}: ${JSON.stringify(value)}, which attributes.${of} does not declare: it counts for nothing`;
}

const NOUNS = {
  key: ['key', 'keys'],
  user: ['user', 'users'],
  business: ['business', 'businesses'],
  member: ['member', 'members'],
} as const;
