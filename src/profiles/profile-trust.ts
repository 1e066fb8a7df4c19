import type { Digest } from "../bytes/index.js";
import { repositoryOf } from "./learn-start.js";

/** Whose profiles are taken from registries. What a node has learnt itself needs no trust. */
export interface ProfileTrust {
  /** `any`: whoever may push to the repository of an image; `listed`: only what `listed` names. */
  readonly kind: "any" | "listed";
  /**
   * Digests of profiles' manifests, and repositories with all below them: `registry.example/team`. A repository's are
   * those that its writers push.
   */
  readonly listed: readonly string[];
}

export function isTrusted(
  { kind, listed }: ProfileTrust,
  profile: { readonly reference: string; readonly digest: Digest },
): boolean {
  if (kind === "any") return true;
  const repository = repositoryOf(profile.reference);
  return listed.some((one) => {
    if (one === profile.digest) return true;
    const folder = one.replace(/\/+$/, "");
    return folder !== "" && (repository === folder || repository.startsWith(`${folder}/`));
  });
}
