/** What an event of administration changed, in words: `restrictedBusinessIds ["bakery"] -> null`. */

/** Of each field that differs; of what is new or gone nothing: the name of the event says that. */
export function changesOf(before: object | null, after: object | null): string {
  if (before === null || after === null) return '';
  const [old, now] = [before, after] as Readonly<Record<string, unknown>>[];
  const fields = [...new Set([...Object.keys(old ?? {}), ...Object.keys(now ?? {})])];
  return fields
    .filter((name) => name !== 'version')
    .map((name) => [name, JSON.stringify(old?.[name] ?? null), JSON.stringify(now?.[name] ?? null)] as const)
    .filter(([, a, b]) => a !== b)
    .map(([name, a, b]) => `${name} ${a} -> ${b}`)
    .join(', ');
}
