import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { bytesOfText } from "../../src/bytes/index.js";
import { openLocalStore } from "../../src/content/index.js";
import { loadBinding } from "../../src/fuse/index.js";
import {
  checkpointFolder,
  storeBytes,
  storeFolder,
  unpackCheckpoint,
} from "../../src/services/tasks-checkpoint.js";
import { TarWriter } from "../../src/tar/index.js";

async function lab() {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-checkpoint-"));
  const now = (): bigint => BigInt(Date.now()) * 1_000_000n;
  const store = await openLocalStore({
    root: join(folder, "content"),
    now,
    fileSteps: loadBinding().fileSteps,
  });
  return {
    folder,
    store,
    [Symbol.asyncDispose]: async () => {
      await store.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

t.test("unpackCheckpoint() gives back the files that storeFolder() stored", async (t) => {
  await using l = await lab();
  const images = join(l.folder, "images");
  await mkdir(join(images, "below"), { recursive: true });
  await writeFile(join(images, "core-1.img"), "one");
  await writeFile(join(images, "below/pages.img"), Buffer.alloc(1_500_000, 7));
  const stored = await storeFolder(l.store, images);
  t.equal(stored.mediaType, "application/vnd.containerd.container.criu.checkpoint.criu.tar");
  t.same(await storeFolder(l.store, images), stored, "a second time gives the same blob");
  await using blob = await l.store.open(stored.digest);
  t.equal(blob.size, stored.size);
  await using target = await checkpointFolder();
  await unpackCheckpoint(blob, target.path, { signal: new AbortController().signal });
  t.equal(await readFile(join(target.path, "core-1.img"), "utf8"), "one");
  t.ok((await readFile(join(target.path, "below/pages.img"))).equals(Buffer.alloc(1_500_000, 7)));
});

t.test("unpackCheckpoint() refuses names that lead out of its folder", async (t) => {
  await using l = await lab();
  for (const name of ["../out", "/etc/out", "a/../../out"]) {
    const tar = new TarWriter();
    const mtime = { seconds: 0n, nanoseconds: 0 };
    const header = tar.header({
      kind: "file",
      name: bytesOfText(name),
      mode: 0o600,
      uid: 0,
      gid: 0,
      mtime,
      size: 0,
    });
    const bytes = Buffer.concat([header, tar.padding(), tar.end()]);
    const stored = await storeBytes(l.store, { ref: name, mediaType: "application/x-tar", bytes });
    await using blob = await l.store.open(stored.digest);
    await using target = await checkpointFolder();
    const { signal } = new AbortController();
    await t.rejects(async () => await unpackCheckpoint(blob, target.path, { signal }), {
      code: "INVALID_ARGUMENT",
      reason: "checkpoint-invalid",
    });
  }
});
