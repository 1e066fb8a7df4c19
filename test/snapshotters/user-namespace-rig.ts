import { closeSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Test } from "tap";
import { loadBinding } from "../../src/fuse/index.js";
import { type Metadata, openMetadata } from "../../src/metadata/index.js";
import { readMountInfo } from "../../src/mounts/index.js";
import {
  createOverlayfsSnapshotter,
  type IdMappingMode,
  type OverlayfsSnapshotterOptions,
  type OverlayIdMapping,
  openOverlayIdMapping,
  type Snapshotter,
  type StoredSnapshotter,
} from "../../src/snapshotters/index.js";
import { type CommandResult, command } from "../../testing/rig/command.js";
import { unmountBelow } from "../../testing/rig/containerd.js";
import { nowNanoseconds, syncFileSystem, withMounts } from "../../testing/snapshotter-suite/index.js";

export const binding = loadBinding();

export const mappedLabels = {
  "containerd.io/snapshot/uidmapping": "0:100000:65536",
  "containerd.io/snapshot/gidmapping": "0:200000:65536",
} as const;

/** An empty folder; what is mounted below it and the folder itself go with the test. */
export async function scratch(t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-userns-"));
  t.teardown(async () => {
    await unmountBelow(folder);
    await rm(folder, { recursive: true, force: true });
  });
  return folder;
}

/** The places below a folder where something is mounted. */
export async function mountedBelow(folder: string): Promise<string[]> {
  return (await readMountInfo())
    .map(({ target }) => target)
    .filter((target) => target.startsWith(`${folder}/`));
}

/** Runs a shell line as root of the user namespace that `mappedLabels` describe. */
export async function inNamespace(folder: string, line: string): Promise<CommandResult> {
  const fd = await binding.mounts.userNamespace("0 100000 65536\n", "0 200000 65536\n");
  try {
    const namespace = `--user=/proc/${process.pid}/fd/${fd}`;
    const words = [namespace, "--setuid=0", "--setgid=0", "--", "sh", "-ec", line];
    return await command("nsenter", words, { cwd: folder, allow: [1, 2] });
  } finally {
    closeSync(fd);
  }
}

export interface OpenOverlayfs {
  readonly snapshotter: StoredSnapshotter;
  readonly metadata: Metadata;
  readonly idMapping: OverlayIdMapping;
  close(): Promise<void>;
}

/** An overlayfs snapshotter below a folder; opened again, it finds what an earlier one left. */
export async function openOverlayfs(
  folder: string,
  options: { readonly mode?: IdMappingMode } & Partial<OverlayfsSnapshotterOptions> = {},
): Promise<OpenOverlayfs> {
  const { mode = "mounts", ...others } = options;
  const root = join(folder, "root");
  const metadata = await openMetadata({ directory: join(folder, "metadata") });
  const idMapping = await openOverlayIdMapping({ binding, root, folder: join(folder, "idmapped"), mode });
  const snapshotter = await createOverlayfsSnapshotter({
    name: "overlayfs",
    root,
    binding,
    metadata,
    now: nowNanoseconds,
    syncFileSystem,
    idMapping,
    ...others,
  });
  return {
    snapshotter,
    metadata,
    idMapping,
    close: async () => {
      await snapshotter.close();
      await metadata.close();
    },
  };
}

/** Commits a layer that a shell line fills. */
export async function layer(
  snapshotter: Snapshotter,
  name: string,
  parent: string,
  line: string,
): Promise<void> {
  const key = `extract-1 ${name}`;
  const mounts = await snapshotter.prepare({ key, parent, labels: {} });
  await withMounts(mounts, async (cwd) => void (await command("sh", ["-ec", line], { cwd })));
  await snapshotter.commit({ key, name, parent: "", labels: {} });
}

/** Two layers with owners of all kinds. */
export async function image(snapshotter: Snapshotter): Promise<string> {
  await layer(
    snapshotter,
    "base",
    "",
    "mkdir -p bin tmp home; chmod 1777 tmp; echo root > root; echo user > home/user; chown 1000:1001 home home/user; cp /bin/true bin/setuid; chmod 4755 bin/setuid; ln home/user home/hard; echo far > far; chown 70000:0 far",
  );
  await layer(snapshotter, "top", "base", "echo top > top; chown 7:8 top; rm root; echo again > root");
  return "top";
}

/** `<uid>:<gid> <name>` as stat(1) in a namespace or outside sees it. */
export const OWNERS = "stat -c '%u:%g %n' . root top home home/user";
