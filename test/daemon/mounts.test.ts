import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import t from "tap";
import { Containers } from "../../gen/containerd/services/containers/v1/containers_pb.js";
import { Leases } from "../../gen/containerd/services/leases/v1/leases_pb.js";
import { Mounts } from "../../gen/containerd/services/mounts/v1/mounts_pb.js";
import { delay } from "../../src/async/index.js";
import { readMountInfo } from "../../src/mounts/index.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { unmountBelow } from "../../testing/rig/containerd.js";
import { startDaemon } from "../../testing/rig/daemon.js";
import { socketTransport } from "../../testing/snapshotter-suite/index.js";

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
