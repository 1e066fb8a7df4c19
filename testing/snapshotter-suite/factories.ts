import { mkdir, mkdtemp, readdir, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadBinding } from "../../src/fuse/index.js";
import { type Metadata, openMetadata } from "../../src/metadata/index.js";
import { serveGrpc, snapshotsService } from "../../src/services/index.js";
import type { Snapshotter } from "../../src/snapshotters/index.js";
import { Cleanup } from "../rig/cleanup.js";
import { command } from "../rig/command.js";
import { socketSnapshotter } from "./socket-client.js";
import type { SuiteSnapshotter } from "./suite-case.js";

const BTRFS_BYTES = 768 * 1024 * 1024;
/** Far above what the suite makes: a crash leaves only ids that were given out. */
const ORPHAN_ID = 1_000_000;

/** A folder for a snapshotter, and what it takes away again. */
export type PlaceFor = (cleanup: Cleanup) => Promise<string>;

export interface StoredPlace {
  readonly root: string;
  readonly metadata: Metadata;
}

export interface Keeping {
  /** Paths below the root in which each entry is a tree. */
  readonly folders: readonly string[];
  plantOrphan(root: string, id: number): Promise<void>;
}

export async function temporaryFolder(cleanup: Cleanup): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-suite-"));
  cleanup.add(async () => await rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A folder in memory, where nothing waits for a disk. */
export async function memoryFolder(cleanup: Cleanup): Promise<string> {
  const folder = await temporaryFolder(cleanup);
  await command("mount", ["-t", "tmpfs", "lazuli-suite", folder]);
  cleanup.add(async () => void (await command("umount", ["--lazy", folder])));
  return folder;
}

/** A new btrfs in a file in memory. */
export async function btrfsFolder(cleanup: Cleanup): Promise<string> {
  const folder = await memoryFolder(cleanup);
  const [image, mounted] = [join(folder, "image"), join(folder, "btrfs")];
  await writeFile(image, "");
  await truncate(image, BTRFS_BYTES);
  await command("mkfs.btrfs", ["--quiet", image]);
  const { stdout } = await command("losetup", ["--find", "--show", image]);
  const device = stdout.trim();
  cleanup.add(async () => void (await command("losetup", ["--detach", device])));
  await mkdir(mounted);
  await command("mount", ["-t", "btrfs", device, mounted]);
  cleanup.add(async () => void (await command("umount", ["--lazy", mounted])));
  return mounted;
}

/** Trees as folders with an upper layer each. */
export const overlayKeeping: Keeping = {
  folders: ["snapshots"],
  plantOrphan: async (root, id) => {
    await mkdir(join(root, "snapshots", String(id), "fs/deep"), { recursive: true });
    await writeFile(join(root, "snapshots", String(id), "fs/x"), "orphan");
  },
};

/** Trees as folders, and those on their way. */
export const nativeKeeping: Keeping = {
  folders: ["snapshots"],
  plantOrphan: async (root, id) => {
    for (const name of [String(id), `new-${id + 1}`]) {
      await mkdir(join(root, "snapshots", name, "deep"), { recursive: true });
      await writeFile(join(root, "snapshots", name, "x"), "orphan");
    }
  },
};

/** Trees as subvolumes, one below another too. */
export const btrfsKeeping: Keeping = {
  folders: ["active", "view", "snapshots"],
  plantOrphan: async (root, id) => {
    for (const kind of btrfsKeeping.folders) {
      const path = join(root, kind, String(id));
      await command("btrfs", ["subvolume", "create", path]);
      await command("btrfs", ["subvolume", "create", join(path, "nested")]);
      await writeFile(join(path, "x"), "orphan");
      if (kind !== "active") await command("btrfs", ["property", "set", "-ts", path, "ro", "true"]);
    }
  },
};

/** A factory of snapshotters that keep their rows in our metadata. */
export function stored(options: {
  readonly open: (place: StoredPlace) => Promise<Snapshotter>;
  readonly keeping: Keeping;
  /** Default: a temporary folder. */
  readonly folder?: PlaceFor | undefined;
}): () => Promise<SuiteSnapshotter> {
  const { open, keeping, folder = temporaryFolder } = options;
  return async () => {
    const cleanup = new Cleanup();
    const root = await folder(cleanup);
    const start = async () => {
      const metadata = await openMetadata({ directory: join(root, "metadata") });
      return { metadata, snapshotter: await open({ root, metadata }) };
    };
    let running = await start();
    const stop = async (): Promise<void> => {
      await running.snapshotter.close();
      await running.metadata.close();
    };
    cleanup.add(stop);
    return {
      snapshotter: running.snapshotter,
      dispose: async () => await cleanup[Symbol.asyncDispose](),
      restart: async () => {
        await stop();
        running = await start();
        return running.snapshotter;
      },
      trees: async () => {
        const names = keeping.folders.map(async (name) =>
          (await readdir(join(root, name))).map((entry) => join(name, entry)),
        );
        return (await Promise.all(names)).flat();
      },
      plantOrphan: async () => await keeping.plantOrphan(root, ORPHAN_ID),
    };
  };
}

/** The same snapshotters, each on the other side of a socket of its own. */
export function overSocket(
  make: () => Promise<SuiteSnapshotter>,
  client: (socketPath: string) => Snapshotter = socketSnapshotter,
): () => Promise<SuiteSnapshotter> {
  return async () => {
    const cleanup = new Cleanup();
    const socketPath = join(await temporaryFolder(cleanup), "s");
    const made = await make();
    cleanup.add(made.dispose);
    const start = async (snapshotter: Snapshotter) => ({
      server: await serveGrpc({ socketPath, mode: 0o600, routes: [snapshotsService(snapshotter)] }),
      snapshotter: client(socketPath),
    });
    let running = await start(made.snapshotter);
    const stop = async (): Promise<void> => {
      await running.snapshotter.close();
      await running.server.close();
    };
    cleanup.add(stop);
    return {
      ...made,
      snapshotter: running.snapshotter,
      dispose: async () => await cleanup[Symbol.asyncDispose](),
      ...(made.restart === undefined
        ? {}
        : {
            restart: async () => {
              await stop();
              running = await start(await made.restart!());
              return running.snapshotter;
            },
          }),
    };
  };
}

export const suiteBinding = loadBinding();
