import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { delay } from "../../src/async/index.js";
import { Cleanup } from "./cleanup.js";
import { type Containerd, startContainerd, unmountBelow } from "./containerd.js";
import type { DockerRegistry } from "./docker-registry.js";
import { imageCache, registryWithImage } from "./estargz-image.js";
import { mountImage } from "./mounted-image.js";
import { oddImageArchive, oddImageName } from "./odd-image.js";
import { type RunningSnapshotter, startSnapshotter } from "./snapshotter.js";
import { treeListing } from "./tree-listing.js";

export const projectRoot = fileURLToPath(new URL("../../../", import.meta.url));

/** Tags of the odd image and how ctr-remote made them. */
export const oddVariants: Readonly<Record<string, readonly string[]>> = {
  esgz: [],
  "small-chunks": ["--estargz-chunk-size", "4096", "--estargz-compression-level", "1"],
  "large-chunks": ["--estargz-chunk-size", "16777216", "--estargz-compression-level", "5"],
};

export interface LabOptions {
  /** Further lines of lazuli's config file. */
  readonly config?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Programs of another containerd than the installed one. */
  readonly binFolder?: string;
}

/** A containerd with lazuli plugged in, on folders of their own. Starts empty; cleans up behind itself. */
export interface Lab extends AsyncDisposable {
  readonly folder: string;
  readonly cleanup: Cleanup;
  readonly containerd: Containerd;
  readonly snapshotter: RunningSnapshotter;
  /** Stops lazuli with a signal and starts it again on the same folders. */
  restart(options?: { signal?: NodeJS.Signals; config?: string }): Promise<void>;
  /** The tree of a pulled image, as containerd mounts it through a snapshotter. */
  listImage(image: string, snapshotter: string): Promise<string[]>;
}

export async function startLab(options: LabOptions = {}): Promise<Lab> {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-lab-"));
  const cleanup = new Cleanup();
  cleanup.add(() => rm(folder, { recursive: true, force: true }));
  const lazuliFolder = join(folder, "lazuli");
  const containerdFolder = join(folder, "containerd");
  const containerdTable = `[containerd]\naddress = "${join(containerdFolder, "containerd.sock")}"\n`;
  const start = async (config = options.config): Promise<RunningSnapshotter> =>
    await startSnapshotter({
      folder: lazuliFolder,
      config: `${config ?? ""}\n${containerdTable}`,
      ...(options.env === undefined ? {} : { env: options.env }),
    });
  let snapshotter: RunningSnapshotter | undefined;
  cleanup.add(() => unmountBelow(lazuliFolder));
  cleanup.add(() => snapshotter?.stop());
  try {
    snapshotter = await start();
    const containerd = await startContainerd({
      folder: containerdFolder,
      snapshotter: { name: "lazuli", socket: snapshotter.socket, root: snapshotter.root },
      ...(options.binFolder === undefined ? {} : { binFolder: options.binFolder }),
    });
    cleanup.add(() => containerd.stop());
    return {
      folder,
      cleanup,
      containerd,
      get snapshotter() {
        return snapshotter!;
      },
      restart: async ({ signal, config } = {}) => {
        await snapshotter!.stop(signal);
        snapshotter = await start(config);
        await untilConnected(containerd);
      },
      listImage: async (image, name) => {
        await using view = await mountImage({ containerd, image, snapshotter: name, below: folder });
        return await treeListing(view.folder);
      },
      [Symbol.asyncDispose]: async () => await cleanup[Symbol.asyncDispose](),
    };
  } catch (error) {
    await cleanup[Symbol.asyncDispose]();
    throw error;
  }
}

const CONNECT_TRIES = 100;

/** containerd comes back to a socket that was gone only when its own pause between tries, up to 3 s, is over. */
async function untilConnected(containerd: Containerd): Promise<void> {
  for (let attempt = 0; attempt < CONNECT_TRIES; attempt += 1) {
    const { code } = await containerd.ctr(["snapshots", "--snapshotter", "lazuli", "usage"], { allow: [1] });
    if (code === 0) return;
    await delay(100);
  }
  throw new Error("containerd did not connect to lazuli again");
}

/** Debian's registry with the odd image in all its variants; the conversion is done once and kept. */
export async function oddRegistry(cleanup: Cleanup): Promise<DockerRegistry> {
  const cache = imageCache(projectRoot);
  await mkdir(cache, { recursive: true });
  const scratch = await mkdtemp(join(tmpdir(), "lazuli-convert-"));
  cleanup.add(() => rm(scratch, { recursive: true, force: true }));
  const registry = await registryWithImage({
    folder: join(cache, "odd-registry"),
    scratch: join(scratch, "containerd"),
    repository: "odd",
    makeArchive: async () => ({ archive: await oddImageArchive({ folder: scratch }), name: oddImageName }),
    variants: oddVariants,
  });
  cleanup.add(() => registry.stop());
  return registry;
}
