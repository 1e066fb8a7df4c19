/**
 * The first key that Go's encoding/json would read as a known one and JavaScript as another: Go compares keys without regard
 * to case, so that one document has two meanings. undefined: there is none.
 */
export function otherCaseKey(keys: readonly string[], knownKeys: readonly string[]): string | undefined {
  const folded = new Set(knownKeys.map(fold));
  return keys.find((key) => !knownKeys.includes(key) && folded.has(fold(key)));
}

/** Unicode's simple folding, by which a long s is an s. That a Kelvin sign is a k, JavaScript knows. */
function fold(key: string): string {
  return key.toLowerCase().replaceAll("ſ", "s");
}
