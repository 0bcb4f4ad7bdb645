/** Reads the settings from the environment and from the files that it names, and shows them. */

import path from 'node:path';
import type { z } from 'zod';
import { Refusal } from './errors.ts';
import { SERVICE } from './service-name.ts';
import { othersMayRead, readSettingFile } from './setting-file.ts';
import { SETTINGS, type Setting } from './settings.ts';

type Settings = typeof SETTINGS;

/** The parsed settings under their environment names; a setting without default may be undefined. */
export type Config = {
  readonly [Name in keyof Settings]:
    | z.output<Settings[Name]['schema']>
    | (Settings[Name] extends { default: string } ? never : undefined);
};

/** Reads the settings; an empty variable counts as unset. @throws Refusal that names each bad setting, without its value. */
export const loadConfig = (environment: NodeJS.ProcessEnv): Config => loadSettings(environment, NAMES);

/** Some of the settings, whatever the others are. @throws Refusal, as loadConfig */
export function loadSettings<Name extends keyof Config>(
  environment: NodeJS.ProcessEnv,
  names: readonly Name[],
): Pick<Config, Name> {
  const faults: string[] = [];
  const entries = names.map((name) => {
    try {
      return [name, readSetting(name, environment)];
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      faults.push(error.message);
      return [name, undefined];
    }
  });
  if (faults.length > 0) throw new Refusal(`the settings are refused:\n  ${faults.join('\n  ')}`);
  return Object.fromEntries(entries) as Pick<Config, Name>;
}

const NAMES = Object.keys(SETTINGS) as (keyof Config)[];
const settingOf = (name: keyof Config): Setting => SETTINGS[name];

/** The path of the file that holds a secret, if `X_FILE` names one for the setting X. */
const fileOf = (name: keyof Config, environment: NodeJS.ProcessEnv): string | undefined =>
  settingOf(name).secret ? environment[`${name}_FILE`] || undefined : undefined;

/** The parsed value. @throws Refusal that names the variable, without its value */
function readSetting(name: keyof Config, environment: NodeJS.ProcessEnv): unknown {
  const file = fileOf(name, environment);
  const source = file === undefined ? name : `${name}_FILE`;
  if (file !== undefined && environment[name])
    throw new Refusal(`${name} and ${source} are both set; unset one of them`);
  const text = file === undefined ? environment[name] || settingOf(name).default : textOf(source, file);
  if (text === undefined) return undefined;
  const parsed = settingOf(name).schema.safeParse(text);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  // Of a setting that takes a few words, zod's own message starts as no other of ours.
  const fault = issue?.code === 'invalid_value' ? `must be one of ${issue.values.join(', ')}` : issue?.message;
  throw new Refusal(file === undefined ? `${name} ${fault}` : `${source}: the file's text ${fault}`);
}

function textOf(source: string, file: string): string {
  try {
    return readSettingFile(file);
  } catch (error) {
    throw error instanceof Refusal ? new Refusal(`${source} ${error.message}`) : error;
  }
}

/** What is unwise about the files that secrets are read from, for the log. To be called when `loadConfig` has read them. */
export function warningsOn(environment: NodeJS.ProcessEnv): string[] {
  const files = NAMES.map((name) => [`${name}_FILE`, fileOf(name, environment) ?? '']);
  const key = environment['AUDIT_SIGNING_KEY'] ?? '';
  // Which is a path, or the key itself.
  if (!key.includes('\n') && path.isAbsolute(key)) files.push(['AUDIT_SIGNING_KEY', key]);
  return files
    .filter(([, file = '']) => file !== '' && othersMayRead(file))
    .map(
      ([name]) =>
        `every account of this machine may read the file that ${name} names: take that from its mode (chmod o-r)`,
    );
}

/** A setting as `authz config` shows it. */
export interface SettingShown {
  readonly name: string;
  readonly value: string | null;
  readonly source: 'environment' | 'file' | 'default';
  /** The path of the file that it is read from. */
  readonly file?: string;
  readonly help: string;
}

/** Every setting for a person to read: secrets are masked, whatever their value. */
export function describeConfig(environment: NodeJS.ProcessEnv): SettingShown[] {
  loadConfig(environment);
  return NAMES.map((name) => {
    const { secret, help, default: preset = null } = settingOf(name);
    const file = fileOf(name, environment);
    if (file !== undefined) return { name, value: MASK, source: 'file', file, help };
    const set = environment[name] || undefined;
    if (set === undefined) return { name, value: preset, source: 'default', help };
    return { name, value: secret ? MASK : set, source: 'environment', help };
  });
}

const MASK = '********';

/** Where traces go; undefined: none are made. */
export const tracesUrl = (config: Config): string | undefined => {
  if (config.OTEL_SDK_DISABLED === 'true') return undefined;
  const base = config.OTEL_EXPORTER_OTLP_ENDPOINT;
  return config.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT ?? (base && `${base.replace(/\/$/, '')}/v1/traces`);
};

/** What this process is called in its log and in traces. */
export const serviceNameOf = ({
  OTEL_SERVICE_NAME: name,
  OTEL_RESOURCE_ATTRIBUTES: attributes,
}: Pick<Config, 'OTEL_SERVICE_NAME' | 'OTEL_RESOURCE_ATTRIBUTES'>): string =>
  name ?? attributes?.['service.name'] ?? SERVICE;
