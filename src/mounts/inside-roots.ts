import { basename, dirname, join, normalize, relative } from "node:path";
import { failedPrecondition } from "../errors/index.js";
import type { MountBinding } from "./mount-spec.js";

export interface InsideRootsOptions {
  readonly binding: MountBinding;
  /** Folders in which folders and images may be made. */
  readonly roots: readonly string[];
  readonly path: string;
  /** What is to be made there, for the message. */
  readonly what: "mkdir" | "mkfs";
}

/**
 * The real path of something that may not exist yet; its parent does. Neither links nor ".." lead out of the roots.
 * @throws FAILED_PRECONDITION `mount-root-missing`
 */
export async function insideRoots({ binding, roots, path, what }: InsideRootsOptions): Promise<string> {
  const wanted = normalize(path);
  const root = roots.find((candidate) => wanted.startsWith(`${candidate}/`));
  // Not "unimplemented", which would tell a client that it can mount by itself.
  if (root === undefined) {
    throw failedPrecondition(`no root ${JSON.stringify(path)} configured for ${what}`, {
      subject: path,
      reason: "mount-root-missing",
      hint: `Use a path below one of ${roots.join(", ")}`,
    });
  }
  const parent = await binding.mounts.resolve(root, relative(root, dirname(wanted)) || ".");
  return join(parent, basename(wanted));
}
