import { parseDigest } from "../bytes/index.js";
import { parseReference } from "../oci/index.js";
import type { Registry } from "../registry/index.js";
import type { ImageSource, ImageTarget } from "./contract.js";

/** An image in a registry, for reading. The registry stays open. @throws INVALID_ARGUMENT */
export function registrySource(registry: Registry, reference: string): ImageSource {
  const { registry: host, repository } = parseReference(reference);
  const at = (digest: string): string => `${host}/${repository}@${digest}`;
  return {
    description: reference,
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
  const { tag, digest } = parseReference(reference);
  return {
    description: reference,
    pushBlob: async (blob) => await target.pushBlob(blob),
    pushManifest: async (manifest) => await target.pushManifest(manifest),
    name: async (root, { signal } = {}) => {
      // A reference by digest names nothing: what was pushed has its name.
      if (tag === undefined && digest !== undefined) return;
      const repository = reference.replace(/[:@][^/]*$/, "");
      const { bytes } = await registry.fetchManifest({ reference: `${repository}@${root.digest}`, signal });
      const { mediaType } = root;
      await target.pushManifest({ bytes, digest: root.digest, mediaType, tag: tag ?? "latest", signal });
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
}
