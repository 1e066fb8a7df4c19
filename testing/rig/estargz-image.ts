import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { startContainerd } from "./containerd.js";
import { type DockerRegistry, startDockerRegistry } from "./docker-registry.js";

export interface PublishOptions {
  /** OCI archive that holds the image. */
  readonly archive: string;
  /** Name of the image inside the archive. */
  readonly name: string;
  /** Repository at the registry. The image goes to the tag `org`, each variant to a tag of its own. */
  readonly repository: string;
  /** Tag → further words for `ctr-remote images convert --estargz --oci`. */
  readonly variants: Readonly<Record<string, readonly string[]>>;
  readonly registry: DockerRegistry;
  /** Scratch folder for the converting containerd; gone afterwards. */
  readonly folder: string;
}

/** Converts an image with Debian's ctr-remote and pushes the original and all variants. */
export async function publishImage(options: PublishOptions): Promise<void> {
  const { archive, name, registry, folder } = options;
  await mkdir(folder, { recursive: true });
  const containerd = await startContainerd({ folder });
  const target = `${registry.host}/${options.repository}`;
  try {
    await containerd.ctr(["images", "import", "--no-unpack", archive]);
    await containerd.ctr(["images", "tag", name, `${target}:org`]);
    await containerd.ctr(["images", "push", "--plain-http", `${target}:org`]);
    for (const [tag, words] of Object.entries(options.variants)) {
      const variant = `${target}:${tag}`;
      await containerd.ctrRemote(["images", "convert", "--estargz", "--oci", ...words, name, variant]);
      await containerd.ctr(["images", "push", "--plain-http", variant]);
    }
  } finally {
    await containerd.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

/** A registry on a folder that has the image and its variants, published at the first start only. */
export async function registryWithImage(options: {
  readonly folder: string;
  readonly scratch: string;
  readonly repository: string;
  readonly makeArchive: () => Promise<{ archive: string; name: string }>;
  readonly variants: Readonly<Record<string, readonly string[]>>;
}): Promise<DockerRegistry> {
  const registry = await startDockerRegistry({ folder: options.folder });
  try {
    const tags = [...Object.keys(options.variants), "org"];
    const there = await Promise.all(tags.map((tag) => hasTag(registry.host, options.repository, tag)));
    if (!there.every(Boolean)) {
      await publishImage({ ...options, ...(await options.makeArchive()), registry, folder: options.scratch });
    }
    return registry;
  } catch (error) {
    await registry.stop();
    throw error;
  }
}

async function hasTag(host: string, repository: string, tag: string): Promise<boolean> {
  const accept = "application/vnd.oci.image.manifest.v1+json";
  const response = await fetch(`http://${host}/v2/${repository}/manifests/${tag}`, {
    method: "HEAD",
    headers: { accept },
  });
  return response.ok;
}

/** Where a rig keeps what is slow to make between runs. */
export function imageCache(root: string): string {
  return join(root, "build", "images");
}
