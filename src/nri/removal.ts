/** A key, path or name that begins so takes away what has the rest of it. */
export const REMOVAL_MARK = "-";

export function isRemoval(key: string): boolean {
  return key.startsWith(REMOVAL_MARK);
}

/** The key without its mark. */
export function unmarked(key: string): string {
  return isRemoval(key) ? key.slice(REMOVAL_MARK.length) : key;
}
