/** `--attribute` and declared roles: options are held against what `facts.yaml` of the policy folder (POLICY_DIR) declares. */

import type { Command } from 'commander';
import { acceptAttributes, acceptRole, inOrder, isBuiltInRole, type Owner } from '../../directory/attributes.ts';
import { Refusal } from '../../errors.ts';
import type { Declaration, StoredAttributes } from '../../policy/declared/declaration.ts';
import { declarationHere } from '../terminal/declaration.ts';
import type { Terminal } from '../terminal/terminal.ts';

export interface AttributeOption {
  readonly attribute?: readonly string[];
}

/** Adds `--attribute`. */
export const attributeOption = (command: Command): Command =>
  command.option(
    '--attribute <name=value>',
    'an attribute that facts.yaml of POLICY_DIR declares: plan=pro, or can=sms,recordings; plan= takes it away; may be repeated',
    (text: string, before: readonly string[] | undefined) => [...(before ?? []), text],
  );

/** The options by name; an empty text takes the attribute away. @throws Refusal */
export function namedAttributes({ attribute = [] }: AttributeOption): ReadonlyMap<string, string> {
  const named = new Map<string, string>();
  for (const text of attribute) {
    const at = text.indexOf('=');
    const name = text.slice(0, Math.max(at, 0));
    if (name === '') throw new Refusal('an attribute is written name=value, such as --attribute plan=pro');
    if (named.has(name))
      throw new Refusal(`--attribute names ${name} twice; write all its grants in one: can=sms,recordings`);
    named.set(name, text.slice(at + 1));
  }
  return named;
}

/**
 * What the options make of attributes. What they do not name is neither checked nor changed: it may be of an earlier policy.
 * @throws Refusal, or Failure INVALID_REQUEST for what is not declared
 */
export async function attributeChange(
  terminal: Terminal,
  owner: Owner,
  options: AttributeOption,
): Promise<(before: StoredAttributes) => StoredAttributes> {
  const named = namedAttributes(options);
  const given = [...named].filter(([, text]) => text !== '');
  const accepted = given.length === 0 ? {} : await accept(terminal, owner, given);
  return (before) =>
    inOrder({ ...Object.fromEntries(Object.entries(before).filter(([name]) => !named.has(name))), ...accepted });
}

async function accept(
  terminal: Terminal,
  owner: Owner,
  given: readonly (readonly [name: string, text: string])[],
): Promise<StoredAttributes> {
  const declaration = await declarationHere(terminal);
  const values = given.map(([name, text]) => [name, storedForm(declaration, owner, name, text)] as const);
  return acceptAttributes(declaration, owner, Object.fromEntries(values));
}

/** In the form that is declared. A value that has not that form stays a text, which is refused. */
function storedForm({ attributes }: Declaration, owner: Owner, name: string, text: string): StoredAttributes[string] {
  const kind = attributes[owner].get(name)?.kind;
  if (kind === 'grants') return text.split(',').map((grant) => grant.trim());
  if (kind === 'boolean' && /^(?:true|false)$/.test(text)) return text === 'true';
  return text;
}

/** @throws Failure INVALID_REQUEST; Refusal when it is none of the built-in roles and the policy cannot be read */
export const roleHere = async (terminal: Terminal, role: string): Promise<string> =>
  isBuiltInRole(role) ? role : acceptRole(await declarationHere(terminal), role);
