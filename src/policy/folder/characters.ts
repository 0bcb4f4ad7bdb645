/** Characters of which an editor shows something else than what is evaluated: found, named, and read as what they look like. */

/**
 * Control and format characters, line separators, spaces other than the plain one, and what else has no picture of its own. Not
 * the tab; nor U+FE0F, which emoji are spelled with and which changes no other text.
 */
export const UNSEEN = /(?!\t| |\ufe0f)[\p{Cc}\p{Cf}\p{Zs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u2800]/u;

/** What stands in a text, when it is read, in place of bytes that are no UTF-8. */
export const NO_UTF8 = '\ufffd';

const NAMES: Readonly<Record<string, string>> = {
  '\0': 'NUL',
  '\r': 'carriage return',
  '\u001b': 'escape',
  '\u00a0': 'no-break space',
  '\u00ad': 'soft hyphen',
  '\u200b': 'zero-width space',
  '\u200c': 'zero-width non-joiner',
  '\u200d': 'zero-width joiner',
  '\u200e': 'left-to-right mark',
  '\u200f': 'right-to-left mark',
  '\u2028': 'line separator',
  '\u2029': 'paragraph separator',
  '\u202a': 'left-to-right embedding',
  '\u202b': 'right-to-left embedding',
  '\u202c': 'pop directional formatting',
  '\u202d': 'left-to-right override',
  '\u202e': 'right-to-left override',
  '\u202f': 'narrow no-break space',
  '\u2060': 'word joiner',
  '\u3000': 'ideographic space',
  '\ufeff': 'byte order mark',
};

/** What is wrong with an unseen character, and how to mend it: `no-break space U+00A0 ..`. */
export function unseenMessage(character: string): string {
  const isSpace = /\p{Zs}/u.test(character);
  const kind = isSpace ? 'space' : /\p{Cc}/u.test(character) ? 'control character' : 'character';
  const point = character.codePointAt(0)?.toString(16).toUpperCase().padStart(4, '0');
  const named = `${NAMES[character] ?? kind} U+${point}`;
  return isSpace ? `${named} looks like a plain space and is none; write one` : `${named} cannot be seen; remove it`;
}

/**
 * The text with plain spaces in place of others, and without a byte order mark: so that each of those is found once, and not a
 * second time by what it does to a row or to YAML. Whoever reads this has reported them.
 */
export const asItLooks = (text: string): string => text.replace(/^\ufeff/, '').replace(/\p{Zs}/gu, ' ');
