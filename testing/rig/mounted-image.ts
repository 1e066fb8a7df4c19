import { randomBytes } from "node:crypto";
import { mkdtemp, rmdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { chainIds, parseImageConfig } from "../../src/oci/index.js";
import { command } from "./command.js";
import type { Containerd } from "./containerd.js";

export interface MountedImage extends AsyncDisposable {
  readonly folder: string;
}

/**
 * Mounts a pulled image below a folder, with the mounts that its snapshotter gives. The snapshot is an active
 * one, since ctr gives `prepare` a gc.root label in the same request and `view` none: a collection of
 * containerd's in between would take the view away.
 */
export async function mountImage(options: {
  readonly containerd: Containerd;
  readonly image: string;
  readonly snapshotter: string;
  readonly below: string;
}): Promise<MountedImage> {
  const { containerd, snapshotter } = options;
  const folder = await mkdtemp(join(options.below, "view-"));
  const key = `view-${randomBytes(4).toString("hex")}`;
  const snapshots = async (...words: string[]): Promise<string> =>
    (await containerd.ctr(["snapshots", "--snapshotter", snapshotter, ...words])).stdout;
  await snapshots("prepare", key, await topChainId(containerd, options.image));
  await command("bash", ["-ec", withShortLowers(await snapshots("mounts", folder, key))]);
  return {
    folder,
    [Symbol.asyncDispose]: async () => {
      await command("umount", [folder]);
      await rmdir(folder);
      await snapshots("rm", key);
    },
  };
}

/** What mount(2) takes of options: a page. */
const OPTIONS_BYTES_MAX = 4096;

/** As containerd does it by itself: many lower folders by their names below the one that all lie in. */
function withShortLowers(script: string): string {
  const lowers = /lowerdir=([^ ,\n]+)/.exec(script)?.[1];
  if (lowers === undefined || lowers.length < OPTIONS_BYTES_MAX / 2) return script;
  const [first = "", ...others] = lowers.split(":");
  let common = dirname(first);
  while (!others.every((other) => other.startsWith(`${common}/`))) common = dirname(common);
  return `cd ${common}; ${script.replace(lowers, lowers.replaceAll(`${common}/`, ""))}`;
}

/** A manifest, or an index of some. */
interface Document {
  readonly config?: { readonly digest: string };
  readonly manifests?: readonly { readonly digest: string }[];
}

/** The name of the snapshot with all layers of an image. */
async function topChainId(containerd: Containerd, image: string): Promise<string> {
  const { stdout } = await containerd.ctr(["images", "ls", `name==${image}`]);
  const manifestDigest = /sha256:[0-9a-f]{64}/.exec(stdout)?.[0];
  if (manifestDigest === undefined) throw new Error(`containerd has no image ${image}`);
  const content = async (digest: string): Promise<string> =>
    (await containerd.ctr(["content", "get", digest])).stdout;
  const root: Document = JSON.parse(await content(manifestDigest));
  // The first manifest of an index is that of the only platform; an index inside an image comes behind it.
  const manifest: Document =
    root.manifests === undefined ? root : JSON.parse(await content(root.manifests[0]!.digest));
  const config = parseImageConfig(Buffer.from(await content(manifest.config!.digest)));
  return chainIds(config.diffIds).at(-1)!;
}
