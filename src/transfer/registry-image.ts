import { parseDigest } from "../bytes/index.js";
import { makeReference, parseReference } from "../oci/index.js";
import type { Registry } from "../registry/index.js";
import type { ImageSource, ImageTarget } from "./contract.js";
import { suffixedName } from "./suffixed-name.js";

/** An image in a registry, for reading. The registry stays open. @throws INVALID_ARGUMENT */
export function registrySource(registry: Registry, reference: string): ImageSource {
  const { registry: host, repository } = parseReference(reference);
  const at = (digest: string): string => `${host}/${repository}@${digest}`;
  return {
    description: reference,
    repository: { registry: host, repository },
    root: async ({ signal } = {}) => await registry.fetchManifest({ reference, signal }),
    document: async ({ digest }, { signal } = {}) =>
      await registry.fetchManifest({ reference: at(digest), signal }),
    openBlob: async ({ digest, size }, { signal } = {}) =>
      await registry.openBlob({ reference, digest: parseDigest(digest), size, signal }),
    referrers: async (subject, { signal } = {}) => await registry.referrers({ reference, subject, signal }),
    [Symbol.asyncDispose]: async () => undefined,
  };
}

/** An image in a registry, for writing. The registry stays open. @throws INVALID_ARGUMENT */
export async function registryTarget(registry: Registry, reference: string): Promise<ImageTarget> {
  const target = await registry.pushTarget(reference);
  const parsed = parseReference(reference);
  const { tag, digest } = parsed;
  return {
    description: reference,
    repository: { registry: parsed.registry, repository: parsed.repository },
    hasBlob: async (blob, options) => await target.hasBlob(blob.digest, options),
    pushBlob: async (blob) => await target.pushBlob(blob),
    pushManifest: async (manifest) => await target.pushManifest(manifest),
    name: async (root, { signal, suffix } = {}) => {
      // A reference by digest names nothing: what was pushed has its name.
      const isUnnamed = tag === undefined && digest !== undefined;
      if (isUnnamed && suffix === undefined) return;
      const name = suffixedName(isUnnamed ? undefined : (tag ?? "latest"), suffix);
      const byDigest = makeReference({ ...parsed, tag: undefined, digest: root.digest }).toString();
      const { bytes } = await registry.fetchManifest({ reference: byDigest, signal });
      const { mediaType } = root;
      await target.pushManifest({ bytes, digest: root.digest, mediaType, tag: name, signal });
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
}
