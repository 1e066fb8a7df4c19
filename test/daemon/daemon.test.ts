import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createClient } from "@connectrpc/connect";
import t from "tap";
import { Introspection } from "../../gen/containerd/services/introspection/v1/introspection_pb.js";
import { Leases } from "../../gen/containerd/services/leases/v1/leases_pb.js";
import { sha256 } from "../../src/bytes/index.js";
import { proxyContentStore } from "../../src/content/index.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { command } from "../../testing/rig/command.js";
import { unmountBelow } from "../../testing/rig/containerd.js";
import { startDaemon } from "../../testing/rig/daemon.js";
import { socketTransport } from "../../testing/snapshotter-suite/index.js";

const program = fileURLToPath(new URL("../../../bin/lazuli", import.meta.url));
const headers = { "containerd-namespace": "default" };

async function folderFor(cleanup: Cleanup): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-daemon-"));
  cleanup.add(() => rm(folder, { recursive: true, force: true }));
  cleanup.add(() => unmountBelow(folder));
  return folder;
}

/** Puts a text into the store of the daemon, and returns its digest. */
async function ingest(address: string, text: string, lease?: string) {
  await using store = proxyContentStore({ socketPath: address, namespace: "default", lease });
  const bytes = Buffer.from(text);
  const expected = sha256(bytes);
  const writer = await store.writer({ ref: `ref-${text}`, total: bytes.length, expected });
  await writer.write(bytes);
  return await writer.commit({ size: bytes.length, expected, labels: {} });
}

async function digests(address: string): Promise<string[]> {
  await using store = proxyContentStore({ socketPath: address, namespace: "default" });
  const found: string[] = [];
  for await (const { digest } of store.walk([])) found.push(digest);
  return found.sort();
}

t.test("lazuli daemon keeps what a lease holds over a stop, and collects on a sync delete", async (t) => {
  await using cleanup = new Cleanup();
  const folder = await folderFor(cleanup);
  const first = await startDaemon({ folder });
  const { uuid } = await createClient(Introspection, socketTransport(first.address)).server({});
  await createClient(Leases, socketTransport(first.address)).create({ id: "held" }, { headers });
  const kept = await ingest(first.address, "kept", "held");
  await first.stop();
  t.match(await readFile(first.logFile, "utf8"), /"message":"Stopped"/);

  const second = await startDaemon({ folder });
  cleanup.add(() => second.stop());
  const leases = createClient(Leases, socketTransport(second.address));
  t.equal((await createClient(Introspection, socketTransport(second.address)).server({})).uuid, uuid);
  t.same(await digests(second.address), [kept]);
  await using store = proxyContentStore({ socketPath: second.address, namespace: "default" });
  await using reader = await store.open(kept);
  t.equal(Buffer.from(await reader.read(0, 10)).toString(), "kept");
  await leases.create({ id: "now" }, { headers });
  await leases.delete({ id: "now", sync: true }, { headers });
  t.same(await digests(second.address), [kept], "a collection leaves what a lease holds");
  await leases.delete({ id: "held", sync: true }, { headers });
  t.same(await digests(second.address), [], "and takes away what nothing holds");
});

t.test("a daemon and a snapshotter exclude each other on one root", async (t) => {
  await using cleanup = new Cleanup();
  const folder = await folderFor(cleanup);
  const daemon = await startDaemon({ folder: join(folder, "daemon") });
  cleanup.add(() => daemon.stop());
  const words = ["--root", daemon.root, "--state", join(folder, "state")];
  const snapshotter = await command(program, ["snapshotter", ...words, "--address", join(folder, "s")], {
    allow: [9],
  });
  t.match(snapshotter, { code: 9, stderr: /hint: / });
  const second = await command(program, ["daemon", ...words, "--daemon-address", join(folder, "d")], {
    allow: [9],
  });
  t.match(second, { code: 9, stderr: /hint: / });
  const status = await command(program, ["status", "--address", daemon.address, "--json"]);
  t.match(JSON.parse(status.stdout), { layers: [], snapshots: [] }, "status asks the daemon, too");
});
