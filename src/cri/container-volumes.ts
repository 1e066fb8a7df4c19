import { mkdir, readdir, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { KeyedQueue } from "../async/index.js";
import { LazuliError, notFound } from "../errors/index.js";
import { mountAll, readMountInfo, unmountAll } from "../mounts/index.js";
import type { ContainersOptions } from "./container-parts.js";
import { mappingLabels, prepareOrFind } from "./container-rootfs.js";
import { CRI_NAMESPACE } from "./contract.js";
import type { SpecHost, UserMappings } from "./spec/index.js";

type Parts = Pick<ContainersOptions, "images" | "snapshotters" | "leases" | "binding" | "folders" | "host">;

interface ImageVolume {
  readonly reference: string;
  readonly podId: string;
  readonly snapshotterName: string;
  readonly mapping: UserMappings | undefined;
  readonly signal: AbortSignal;
}

/** Images as volumes: mounted once for each pod, and seen read-only by its containers. */
export class ImageVolumes {
  readonly #parts: Parts;
  readonly #turns = new KeyedQueue<string>();

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** The node, where what lies in an image is looked up by the addon: the image may be lazy. */
  get host(): SpecHost {
    const { host, binding, folders } = this.#parts;
    const isOurs = (path: string): boolean => path.startsWith(`${volumesFolder(folders.state)}/`);
    return {
      ...host,
      realPath: (path) => (isOurs(path) ? binding.mounts.resolve("/", path) : host.realPath(path)),
      isFolder: async (path) => {
        if (!isOurs(path)) return await host.isFolder(path);
        try {
          await binding.mounts.resolve("/", `${path}/.`);
          return true;
        } catch (thrown) {
          if ((thrown as NodeJS.ErrnoException).code === "ENOTDIR") return false;
          throw thrown;
        }
      },
    };
  }

  /** The folder where an image is mounted for a pod. @throws NOT_FOUND; as mountAll() */
  async mount(volume: ImageVolume): Promise<string> {
    return await this.#turns.run(volume.podId, async () => await this.#mounted(volume));
  }

  /** Takes all of a pod away. Nothing happens where there are none. */
  async removeOfPod(podId: string): Promise<void> {
    const { binding, snapshotters, leases, folders } = this.#parts;
    const base = join(volumesFolder(folders.state), podId);
    const names = await readdir(base).catch((thrown: NodeJS.ErrnoException) => {
      if (thrown.code === "ENOENT") return undefined;
      throw thrown;
    });
    if (names === undefined) return;
    for (const name of names) {
      const target = join(base, name);
      await unmountAll({ binding, target });
      for (const snapshotter of snapshotters.values()) {
        await snapshotter.for({ namespace: CRI_NAMESPACE }).remove(target).catch(ignoreMissing);
      }
      await rmdir(target);
    }
    await rmdir(base);
    await leases.delete({ namespace: CRI_NAMESPACE, id: leaseOf(podId) }).catch(ignoreMissing);
  }

  async #mounted({ reference, podId, snapshotterName, mapping, signal }: ImageVolume): Promise<string> {
    const { binding, snapshotters, images, leases, folders } = this.#parts;
    const image = await images.find(reference);
    if (image === undefined) {
      throw notFound(`failed to resolve image ${JSON.stringify(reference)}`, {
        subject: reference,
        reason: "image-missing",
      });
    }
    const target = join(volumesFolder(folders.state), podId, image.id.slice(image.id.indexOf(":") + 1));
    if ((await readMountInfo()).some(({ target: at }) => at === target)) return target;
    const snapshotter = snapshotters.get(snapshotterName);
    if (snapshotter === undefined) {
      throw notFound(`snapshotter ${snapshotterName} is not loaded`, { reason: "snapshotter-missing" });
    }
    const lease = leaseOf(podId);
    await leases.create({ namespace: CRI_NAMESPACE, id: lease, labels: {} }).catch(ignoreExisting);
    const leased = snapshotter.for({ namespace: CRI_NAMESPACE, lease });
    const labels = mappingLabels(mapping);
    const mounts = await prepareOrFind(leased, { key: target, parent: image.chainId, labels, signal });
    try {
      await mkdir(target, { recursive: true, mode: 0o755 });
      await mountAll({ binding, mounts, target, signal });
    } catch (thrown) {
      await leased.remove(target).catch(() => undefined); // The lease keeps it until the pod goes.
      throw thrown;
    }
    return target;
  }
}

/** The folder with one for each pod that has images as volumes. */
function volumesFolder(state: string): string {
  return join(state, "image-volumes");
}

/** Holds the snapshots of a pod's image volumes. */
function leaseOf(podId: string): string {
  return `cri-image-volumes-${podId}`;
}

function ignoreMissing(thrown: unknown): void {
  if (LazuliError.from(thrown).code !== "NOT_FOUND") throw thrown;
}

function ignoreExisting(thrown: unknown): void {
  if (LazuliError.from(thrown).code !== "ALREADY_EXISTS") throw thrown;
}
