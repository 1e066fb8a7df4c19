import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import t from "tap";
import { Containers } from "../../gen/containerd/services/containers/v1/containers_pb.js";
import { Diff } from "../../gen/containerd/services/diff/v1/diff_pb.js";
import { Leases } from "../../gen/containerd/services/leases/v1/leases_pb.js";
import { Mounts } from "../../gen/containerd/services/mounts/v1/mounts_pb.js";
import { delay } from "../../src/async/index.js";
import { parseDigest, sha256 } from "../../src/bytes/index.js";
import { proxyContentStore } from "../../src/content/index.js";
import { readMountInfo } from "../../src/mounts/index.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { command } from "../../testing/rig/command.js";
import { unmountBelow } from "../../testing/rig/containerd.js";
import { startDaemon } from "../../testing/rig/daemon.js";
import { socketTransport } from "../../testing/snapshotter-suite/index.js";
import { rawTar } from "../../testing/tar/index.js";

const headers = { "containerd-namespace": "default" };

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    // There is no such process any more.
    return false;
  }
}

async function failure(work: Promise<unknown>): Promise<ConnectError> {
  return await work.then(
    () => new ConnectError("no failure", Code.Unknown),
    (thrown: unknown) => ConnectError.from(thrown),
  );
}

t.test(
  "containerd.services.mounts.v1 keeps activations over a kill, and collects them with what they serve",
  async (t) => {
    await using cleanup = new Cleanup();
    const folder = await mkdtemp(join(tmpdir(), "lazuli-activations-"));
    cleanup.add(() => rm(folder, { recursive: true, force: true }));
    cleanup.add(() => unmountBelow(folder));
    let daemon = await startDaemon({ folder: join(folder, "d") });
    cleanup.add(() => daemon.stop());
    const source = join(folder, "source");
    await mkdir(source);
    const client = () => createClient(Mounts, socketTransport(daemon.address));
    const bind = { type: "bind", source, options: ["rbind"] };
    const again = { type: "format/bind", source: "{{ mount 0 }}", options: ["rbind"] };
    t.match(await failure(client().activate({ name: "plain", mounts: [bind] }, { headers })), {
      code: Code.Unimplemented,
      rawMessage: "not implemented",
    });
    const containers = createClient(Containers, socketTransport(daemon.address));
    const spec = { typeUrl: "types.containerd.io/x", value: new Uint8Array() };
    await containers.create({ container: { id: "c", runtime: { name: "r" }, spec } }, { headers });
    const labels = { "containerd.io/gc.bref.container": "c", team: "storage" };
    const { info } = await client().activate({ name: "kept", mounts: [bind, again], labels }, { headers });
    const place = info!.active[0]!.mountPoint;
    t.match(info, { name: "kept", labels, system: [{ type: "bind", source: place, options: ["rbind"] }] });
    const leases = createClient(Leases, socketTransport(daemon.address));
    await leases.create({ id: "l" }, { headers });
    const leased = { headers: { ...headers, "containerd-lease": "l" } };
    await client().activate({ name: "leased", mounts: [bind, again] }, leased);
    t.match(await failure(client().activate({ name: "kept", mounts: [bind, again] }, { headers })), {
      code: Code.AlreadyExists,
      rawMessage: 'mount "kept": already exists',
    });

    // What it had mounted is left as it is.
    process.kill(daemon.pid, "SIGKILL");
    while (isRunning(daemon.pid)) await delay(10);
    await rm(daemon.address);
    daemon = await startDaemon({ folder: join(folder, "d") });
    const names = async (filters: string[] = []): Promise<string[]> => {
      const found: string[] = [];
      for await (const { info: one } of client().list({ filters }, { headers })) found.push(one!.name);
      return found;
    };
    t.same(await names(), ["kept", "leased"]);
    t.same(await names(["labels.team==storage"]), ["kept"]);
    t.match((await client().info({ name: "kept" }, { headers })).info, info!);
    const mounted = async (): Promise<string[]> =>
      (await readMountInfo())
        .map(({ target }) => target)
        .filter((target) => target.includes("mount-manager"));
    t.ok((await mounted()).includes(place));
    const update = {
      info: { name: "kept", labels: { team: "others" } },
      updateMask: { paths: ["labels.team"] },
    };
    t.match((await client().update(update, { headers })).info?.labels, { ...labels, team: "others" });

    const nextLeases = createClient(Leases, socketTransport(daemon.address));
    await nextLeases.delete({ id: "l", sync: true }, { headers });
    t.same(await names(), ["kept"], "the lease held the other one");
    await createClient(Containers, socketTransport(daemon.address)).delete({ id: "c" }, { headers });
    await nextLeases.create({ id: "m" }, { headers });
    await nextLeases.delete({ id: "m", sync: true }, { headers });
    t.same(await names(), [], "the container held this one");
    t.same(
      (await mounted()).filter((target) => target.startsWith(folder)),
      [],
    );
    t.match(await failure(client().deactivate({ name: "kept" }, { headers })), {
      code: Code.NotFound,
      rawMessage: 'mount "kept": not found',
    });
  },
);

t.test(
  "a layer is unpacked onto mounts that the mount manager has to make, and compared with them",
  async (t) => {
    await using cleanup = new Cleanup();
    const folder = await mkdtemp(join(tmpdir(), "lazuli-activated-"));
    cleanup.add(() => rm(folder, { recursive: true, force: true }));
    cleanup.add(() => unmountBelow(folder));
    const daemon = await startDaemon({ folder: join(folder, "d") });
    cleanup.add(() => daemon.stop());
    await using store = proxyContentStore({ socketPath: daemon.address, namespace: "default" });
    const bytes = rawTar({ name: "file", content: "text" });
    const digest = sha256(bytes);
    const writer = await store.writer({ ref: "layer", total: bytes.length, expected: digest });
    await writer.write(bytes);
    await writer.commit({ size: bytes.length, expected: digest, labels: {} });
    const image = join(folder, "d/root/disk.img");
    const disk = [
      { type: "mkfs/loop", source: image, options: ["X-containerd.mkfs.size=16MiB"] },
      { type: "format/ext4", source: "{{ mount 0 }}" },
    ];
    const empty = join(folder, "empty");
    await mkdir(empty);
    const mediaType = "application/vnd.oci.image.layer.v1.tar";
    const diff = createClient(Diff, socketTransport(daemon.address));
    const layer = { mediaType, digest, size: BigInt(bytes.length) };
    const { applied } = await diff.apply({ diff: layer, mounts: disk }, { headers });
    t.equal(applied?.digest, digest);
    const left = [{ type: "bind", source: empty, options: ["rbind"] }];
    const made = (await diff.diff({ left, right: disk, mediaType, ref: "r" }, { headers })).diff!;
    await using reader = await store.open(parseDigest(made.digest));
    t.match(Buffer.from(await reader.read(0, reader.size)).toString("latin1"), /file[\s\S]*text/);
    t.same(
      (await readMountInfo()).filter(({ target }) => target.includes(`${folder}/d/state/io.containerd`)),
      [],
    );
    t.equal((await command("losetup", ["-j", image])).stdout, "");
  },
);
