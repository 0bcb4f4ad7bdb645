/** What the verbs for users and businesses share: their state as options, and what is asked before a put resets some of it. */

import type { Command } from 'commander';
import { z } from 'zod';
import { Failure, Refusal } from '../../errors.ts';
import { pageQuery } from '../../input/resources.ts';
import { idSchema, validate } from '../../input/scalars.ts';
import type { StoredAttributes } from '../../policy/declared/declaration.ts';
import type { JsonOption } from '../terminal/options.ts';
import { confirm } from '../terminal/prompt.ts';
import type { Terminal } from '../terminal/terminal.ts';
import { type AttributeOption, attributeOption, namedAttributes } from './attributes.ts';

export interface PageOptions extends JsonOption {
  readonly limit: string;
  readonly cursor?: string;
}
export interface Destructive extends JsonOption {
  readonly yes?: true;
}
/** Of a `put`, which replaces. */
export interface StateOptions extends Destructive, AttributeOption {
  readonly disabled?: true;
  readonly reason?: string;
}
/** Of an `update`, which changes what is named. */
export interface StateChanges extends JsonOption, AttributeOption {
  readonly disabled?: boolean;
  readonly reason?: string;
}

export const id = (text: string): string => validate(idSchema, text);
export const page = ({ limit, cursor }: PageOptions) => validate(z.strictObject(pageQuery), { limit, cursor });
export const stateOptions = (command: Command): Command =>
  attributeOption(command.option('--disabled', 'disable it').option('--reason <text>', 'why it is disabled; public'));

export const stateChangeOptions = (command: Command): Command =>
  attributeOption(
    command
      .option('--disabled', 'disable it')
      .option('--no-disabled', 'enable it')
      .option('--reason <text>', 'why it is disabled; public'),
  );

/** The state as the options change it. An enabled one has no reason. */
export function changedState(
  { disabled: wanted, reason }: StateChanges,
  before: { readonly disabled: boolean; readonly disabledReason: string | null },
): { disabled: boolean; disabledReason: string | null } {
  const disabled = wanted ?? before.disabled;
  return { disabled, disabledReason: reason ?? (disabled ? before.disabledReason : null) };
}

/** @throws Refusal where an `update` names nothing */
export function refuseNoChange({ json: _, ...options }: JsonOption): void {
  if (Object.keys(options).length === 0)
    throw new Refusal('nothing is named that should change; --help lists what can be');
}

interface Replaced {
  readonly disabled: boolean;
  readonly businessesDisabled?: boolean;
  readonly attributes: StoredAttributes;
}

/**
 * Asks before a `put` without --disabled enables what is disabled, or drops attributes that no option names: it replaces, so what is
 * left out is reset. `before`: the current state; a rejection with NOT_FOUND means that there is none.
 */
export async function confirmReset(
  terminal: Terminal,
  what: string,
  before: Promise<Replaced>,
  after: Replaced,
  { yes, ...options }: StateOptions,
): Promise<void> {
  const now = await before.catch((error: unknown) => {
    if (error instanceof Failure && error.code === 'NOT_FOUND') return undefined;
    throw error;
  });
  if (now?.disabled && !after.disabled) await confirm(terminal, `Enable ${what} again`, yes);
  if (now?.businessesDisabled && !after.businessesDisabled)
    await confirm(terminal, `Enable the businesses of ${what} again`, yes);
  const named = namedAttributes(options);
  const dropped = Object.keys(now?.attributes ?? {}).filter((name) => !named.has(name));
  if (dropped.length > 0) await confirm(terminal, `Take ${dropped.join(', ')} away from ${what}`, yes);
}
