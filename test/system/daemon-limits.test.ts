import { randomBytes } from "node:crypto";
import { chmod, mkdir, readdir } from "node:fs/promises";
import { connect as connectSocket, type Socket } from "node:net";
import { join } from "node:path";
import t from "tap";
import { delay } from "../../src/async/index.js";
import { type Digest, sha256 } from "../../src/bytes/index.js";
import { type Client, connect } from "../../src/client/index.js";
import { LazuliError } from "../../src/errors/index.js";
import { startReaders } from "../../testing/crash/readers.js";
import { Supervisor } from "../../testing/crash/supervisor.js";
import {
  addLazyLayer,
  type KnownFile,
  type MountedLayer,
  type TakeoverRig,
  takeoverRig,
} from "../../testing/crash/takeover-rig.js";
import { sampleFiles } from "../../testing/layer/sample-layer.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { command } from "../../testing/rig/command.js";
import { ext4Disk } from "../../testing/rig/ext4-disk.js";

const MIB = 1024 * 1024;
const DESCRIPTORS = 256;
const CONNECTIONS = 400;
const DISK_BYTES = 80 * MIB;
const BLOB_BYTES = 2 * MIB;
/** Far more blobs than the disk takes. */
const BLOBS_MAX = 100;
const TRIES = 1200;
const PAUSE_MS = 50;

t.setTimeout(0);

async function daemonRig(cleanup: Cleanup, words: readonly string[]) {
  const rig = await takeoverRig(cleanup, { program: "daemon" });
  const server = (): Supervisor => {
    const logFile = join(rig.folder, "lazuli.log");
    const made = new Supervisor({ ...rig, words: [...words, ...rig.words], logFile });
    cleanup.add(() => made.stop());
    return made;
  };
  return { rig, server };
}

async function readAll(rig: TakeoverRig, files: readonly KnownFile[]) {
  const threads = files.map((file) => [{ ...file, mode: "all" as const }]);
  return await (await startReaders({ listFile: join(rig.folder, "all.json"), threads })).stop();
}

async function put(client: Client, bytes: Buffer): Promise<Digest> {
  const expected = sha256(bytes);
  const writer = await client.content.writer({ ref: `ref-${expected}`, total: bytes.length, expected });
  try {
    await writer.write(Buffer.from(bytes));
    return await writer.commit({ size: bytes.length, expected, labels: {} });
  } finally {
    await writer.close();
  }
}

async function lost(client: Client, digests: Iterable<Digest>): Promise<Digest[]> {
  const missing: Digest[] = [];
  for (const digest of digests) {
    const reader = await client.content.open(digest);
    const { size } = await client.content.info(digest);
    const bytes = await reader.read(0, Number(size));
    await reader.close();
    if (sha256(Buffer.from(bytes)) !== digest) missing.push(digest);
  }
  return missing;
}

async function until(holds: () => Promise<boolean>): Promise<boolean> {
  for (let attempt = 0; attempt < TRIES; attempt += 1) {
    if (await holds()) return true;
    await delay(PAUSE_MS);
  }
  return false;
}

const descriptors = async (pid: number): Promise<number> => (await readdir(`/proc/${pid}/fd`)).length;

t.test("a daemon without free descriptors refuses clients, serves reads, and recovers", async (t) => {
  await using cleanup = new Cleanup();
  const { rig, server: start } = await daemonRig(cleanup, ["prlimit", `--nofile=${DESCRIPTORS}`]);
  const server = start();
  await server.ready();
  const layer = await rig.mountLayer({ name: "here", sizes: [200_000, 300_000] });
  const right = { files: 2, failed: [], wrong: [] };
  t.match(await readAll(rig, layer.files), right);
  const client = rig.client();
  await client.stat("here");
  const before = await descriptors(server.pid);

  const sockets: Socket[] = Array.from({ length: CONNECTIONS }, () => {
    const socket = connectSocket(rig.socket);
    // Who comes too late is refused or cut off.
    socket.on("error", () => undefined);
    return socket;
  });
  cleanup.add(async () => {
    for (const socket of sockets) socket.destroy();
  });
  t.ok(await until(async () => (await descriptors(server.pid)) >= DESCRIPTORS - 2), "none is free");
  t.match(await readAll(rig, layer.files), right, "reads go on");
  const answer = await addLazyLayer({
    ...{ name: "refused", files: sampleFiles("refused", [100]), registry: rig.registry, client },
  }).then(
    () => "made",
    (thrown: unknown) => String(thrown),
  );
  t.comment(`a new layer meanwhile: ${answer}`);

  for (const socket of sockets) socket.destroy();
  t.ok(await until(async () => (await descriptors(server.pid)) <= before + 4), "they are free again");
  let next: MountedLayer | undefined;
  const isTaken = async (): Promise<boolean> => {
    const name = `next-${performance.now()}`;
    // How many descriptors are open is looked at now and then.
    next = await rig.mountLayer({ name, sizes: [150_000] }).catch(() => undefined);
    return next !== undefined;
  };
  t.ok(await until(isTaken), "new layers are taken");
  t.match(await readAll(rig, next?.files ?? []), { files: 1, failed: [], wrong: [] });
  t.match(await readAll(rig, layer.files), right);
  t.equal(server.starts, 1, "nothing was restarted");
});

t.test("a daemon on a full disk refuses content, keeps what it has, and recovers", async (t) => {
  const disk = await ext4Disk(t, DISK_BYTES);
  await using cleanup = new Cleanup();
  const { rig, server: start } = await daemonRig(cleanup, []);
  const root = join(rig.folder, "root");
  await mkdir(root);
  await chmod(disk, 0o700);
  await command("mount", ["--bind", disk, root]);
  const server = start();
  await server.ready();
  using client = connect({ address: rig.socket, namespace: "full" });
  await client.withLease(async (leased) => {
    const here: Digest[] = [];
    let refused: LazuliError | undefined;
    while (refused === undefined && here.length < BLOBS_MAX) {
      await put(leased, randomBytes(BLOB_BYTES)).then(
        (digest) => here.push(digest),
        (thrown: unknown) => {
          refused = LazuliError.from(thrown);
        },
      );
    }
    t.ok(here.length > 5, `${here.length} blobs, then ${refused?.message}`);
    t.equal(refused?.code, "RESOURCE_EXHAUSTED");
    t.same(await lost(leased, here), [], "what was acknowledged is there");
    for (const digest of here.splice(0, 4)) await leased.content.delete(digest);
    for (const { ref } of await leased.content.statuses([])) await leased.content.abort(ref);
    t.ok(
      await until(async () => {
        const made = await put(leased, randomBytes(BLOB_BYTES)).catch(() => undefined); // Room is made behind the answer.
        if (made !== undefined) here.push(made);
        return made !== undefined;
      }),
      "there is room again",
    );
    t.same(await lost(leased, here), []);
  });
  t.equal(server.starts, 1, "nothing was restarted");
});
