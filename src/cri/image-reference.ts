import type { Digest } from "../bytes/index.js";
import { parseReference, type Reference } from "../oci/index.js";

/**
 * The one name of what a reference names: Docker's defaults filled in, and no tag beside a digest.
 * @throws INVALID_ARGUMENT `reference-invalid`
 */
export function normalReference(text: string): string {
  return withoutTag(parseReference(text));
}

/** The same for what may be an id or no name at all; undefined: it names no image. */
export function knownReference(text: string): string | undefined {
  if (isId(text)) return text;
  try {
    return normalReference(text);
  } catch {
    // What no image can be called, no image is called.
    return undefined;
  }
}

/** The names that a pulled image gets beside its id. */
export function recordNames(reference: string, digest: Digest): readonly string[] {
  const { registry, repository, tag } = parseReference(reference);
  const digested = `${registry}/${repository}@${digest}`;
  return tag === undefined ? [digested] : [`${registry}/${repository}:${tag}`, digested];
}

export interface ShownNames {
  readonly repoTags: readonly string[];
  readonly repoDigests: readonly string[];
}

/** The names of an image as clients are told of them; its id, and what is no reference, are left out. */
export function shownNames(names: readonly string[]): ShownNames {
  const repoTags: string[] = [];
  const repoDigests: string[] = [];
  for (const name of names) {
    const known = isId(name) ? undefined : knownReference(name);
    if (known === undefined) continue;
    (known.includes("@") ? repoDigests : repoTags).push(known);
  }
  return { repoTags: unique(repoTags), repoDigests: unique(repoDigests) };
}

/** Whether a text is a digest, as ids are. */
export function isId(text: string): boolean {
  return /^sha(256:[0-9a-f]{64}|512:[0-9a-f]{128})$/.test(text);
}

function withoutTag({ registry, repository, tag, digest }: Reference): string {
  return digest === undefined ? `${registry}/${repository}:${tag}` : `${registry}/${repository}@${digest}`;
}

function unique(names: readonly string[]): readonly string[] {
  return [...new Set(names)].sort();
}
