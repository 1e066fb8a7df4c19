import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import t, { type Test } from "tap";
import { CheckpointContainerRequestSchema, ContainerConfigSchema } from "../../gen/runtime/v1/api_pb.js";
import { type ContainersOptions, CriStore, openContainers } from "../../src/cri/index.js";
import { createEventExchange } from "../../src/events/index.js";
import { LeaseTable, openMetadata } from "../../src/metadata/index.js";
import { command } from "../../testing/rig/command.js";

const now = (): bigint => 1_700_000_000_000_000_000n;
const { signal } = new AbortController();

/** A running container in the store, with a program `criu` of this version; no task, image or snapshot is real. */
async function openRig(t: Test, version: string | undefined) {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-checkpoint-"));
  const metadata = await openMetadata({ directory: join(folder, "metadata") });
  const bin = join(folder, "bin");
  await mkdir(bin);
  if (version !== undefined) {
    await writeFile(join(bin, "criu"), `#!/bin/sh\necho "Version: ${version}"\n`, { mode: 0o755 });
  }
  const path = process.env.PATH;
  process.env.PATH = bin;
  const store = new CriStore({ metadata, now });
  const leases = new LeaseTable({ metadata, now });
  const layer = Buffer.from("a layer");
  const views = new Set<string>();
  const snapshotter = {
    stat: async () => ({ parent: "chain" }),
    view: async ({ key }: { key: string }) => {
      views.add(key);
      return [];
    },
    mounts: async () => [],
    remove: async (key: string) => views.delete(key),
  };
  const containers = await openContainers({
    store,
    leases,
    images: { find: async () => undefined },
    snapshotters: new Map([["overlayfs", { for: () => snapshotter }]]),
    differ: { compare: async () => ({ digest: "sha256:0" }) },
    contentOf: () => ({
      open: async () => ({
        size: layer.length,
        read: async (offset: number, length: number) => layer.subarray(offset, offset + length),
        [Symbol.asyncDispose]: async () => undefined,
      }),
    }),
    tasks: {
      checkpoint: async ({ folder: images }: { folder: string }) => {
        await writeFile(join(images, "pages-1.img"), "pages");
        await writeFile(join(images, "..", "dump.log"), "log");
      },
    },
    events: createEventExchange({ now }),
    settings: { enableCriu: true },
    folders: { root: join(folder, "root"), state: join(folder, "state") },
    now,
  } as unknown as ContainersOptions);
  t.teardown(async () => {
    process.env.PATH = path;
    await containers[Symbol.asyncDispose]();
    await metadata.close();
    await rm(folder, { recursive: true, force: true });
  });
  const spec = { process: { user: { uid: 1, gid: 2 } }, linux: { resources: {} } };
  await store.containers.add(
    {
      record: {
        id: "c1",
        name: "main",
        podId: "p1",
        config: create(ContainerConfigSchema, { metadata: { name: "main" } }),
        imageId: "sha256:1",
        imageReference: "busybox",
        logPath: "",
        stopSignal: "",
        createdAt: now(),
        processLabel: "",
      },
      state: "running",
      pid: 7,
      startedAt: now(),
      finishedAt: 0n,
      exitCode: 0,
      reason: "",
      message: "",
    },
    {
      image: "busybox",
      runtime: { name: "io.containerd.runc.v2", options: undefined },
      spec: { typeUrl: "x", value: Buffer.from(JSON.stringify(spec)) },
      snapshotter: "overlayfs",
      snapshotKey: "c1",
      labels: {},
    },
  );
  const checkpoint = async (location: string): Promise<unknown> =>
    await containers.checkpointContainer(
      create(CheckpointContainerRequestSchema, { containerId: "c1", location }),
      { signal },
    );
  return { folder, path, checkpoint, store, views, leases };
}

t.test("checkpointContainer() writes an archive that checkpointctl reads", async (t) => {
  const { folder, path, checkpoint, views, leases } = await openRig(t, "3.17.1");
  const location = join(folder, "out.tar");
  await checkpoint(location);
  const tar = async (...args: string[]): Promise<string> =>
    (await command("tar", args, { env: { PATH: path! } })).stdout;
  t.same((await tar("-tf", location)).split("\n").filter(Boolean), [
    "checkpoint/",
    "checkpoint/pages-1.img",
    "config.dump",
    "dump.log",
    "rootfs-diff.tar",
    "spec.dump",
    "status.dump",
  ]);
  t.equal(await tar("-xOf", location, "rootfs-diff.tar"), "a layer");
  t.equal(await tar("-xOf", location, "checkpoint/pages-1.img"), "pages");
  t.match(JSON.parse(await tar("-xOf", location, "config.dump")), {
    id: "c1",
    name: "main",
    rootfsImageRef: "sha256:1",
    runtime: "io.containerd.runc.v2",
  });
  t.match(JSON.parse(await tar("-xOf", location, "status.dump")), { id: "c1", image_id: "sha256:1" });
  t.equal(views.size, 0, "no snapshot is left");
  t.same(leases.list({ namespace: "k8s.io", filters: [] }), [], "no lease is left");
  await t.rejects(readFile(join(folder, "root/containers/c1/checkpoint/config.dump")), { code: "ENOENT" });
});

t.test("checkpointContainer() says why it can't", async (t) => {
  const none = await openRig(t, undefined);
  await t.rejects(none.checkpoint("/tmp/never"), {
    code: "FAILED_PRECONDITION",
    message: /criu binary not found in shim path or system PATH/,
  });
  process.env.PATH = none.path;
  const old = await openRig(t, "3.15");
  await t.rejects(old.checkpoint("/tmp/never"), {
    code: "FAILED_PRECONDITION",
    message: /requires at least CRIU 31600, current version is 31500/,
  });
  process.env.PATH = old.path;
  const relative = await openRig(t, "4.0");
  await t.rejects(relative.checkpoint("out.tar"), { code: "INVALID_ARGUMENT" });
  await relative.store.containers.update("c1", { state: "exited" });
  await t.rejects(relative.checkpoint("/tmp/never"), { message: /CONTAINER_EXITED/ });
});
