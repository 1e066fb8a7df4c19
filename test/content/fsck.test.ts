import {
  appendFile,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  truncate,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import t, { type Test } from "tap";
import { type Digest, sha256 } from "../../src/bytes/index.js";
import { rootPaths } from "../../src/daemon/fsck-parts.js";
import {
  containers,
  contents,
  images,
  ingests,
  leaseResources,
  leases,
  namespacedSnapshots,
  openMetadata,
  snapshotRows,
} from "../../src/metadata/index.js";
import { at, type FsckRoot, fsckRoot, ingestName } from "./fsck-root.js";

const namespace = "default";

/** One way to break a root, what must be found, and what may stay after a repair. */
interface Break {
  readonly name: string;
  readonly does: (rig: FsckRoot) => Promise<unknown>;
  readonly finds: readonly string[];
  readonly stays?: readonly string[];
  readonly after?: (t: Test, rig: FsckRoot) => Promise<unknown>;
}

const breaks: readonly Break[] = [
  {
    name: "a blob that was deleted",
    does: async ({ blobPath, digests }) => await rm(blobPath(digests.layer)),
    finds: ["blob-missing"],
    after: async (t, { edit, digests }) =>
      await edit(async (metadata) => t.notOk(metadata.get(contents, [namespace, digests.layer]))),
  },
  {
    name: "a blob with other bytes",
    does: async ({ blobPath, digests }) => await appendFile(blobPath(digests.layer), "x"),
    finds: ["blob-damaged"],
    after: async (t, { root, digests }) =>
      t.strictSame(await readdir(join(root, "set-aside")), [digests.layer.slice(7)], "its bytes are kept"),
  },
  {
    name: "an index that was cut",
    does: async ({ blobPath, digests }) => await truncate(blobPath(digests.index), 10),
    finds: ["blob-damaged"],
    after: async (t, { edit }) =>
      await edit(async (metadata) => t.notOk(metadata.get(images, [namespace, "app"]), "to be pulled again")),
  },
  {
    name: "a blob that nobody has",
    does: async ({ blobPath }) => await writeFile(blobPath(sha256(Buffer.from("lone"))), "lone"),
    finds: ["blob-orphan"],
  },
  {
    name: "a row with another size",
    does: async ({ edit, digests }) =>
      await edit(async (metadata) => {
        const row = metadata.get(contents, [namespace, digests.config])!;
        await metadata.write((transaction) =>
          transaction.put(contents, [namespace, digests.config], { ...row, size: 1 }),
        );
      }),
    finds: ["row-size-wrong"],
  },
  {
    name: "ingests that nobody goes on with",
    does: async ({ root, edit }) => {
      const folder = join(root, "content", "ingest", ingestName("lost/1/ref"));
      await mkdir(folder);
      await writeFile(join(folder, "ref"), "lost/1/ref");
      await mkdir(join(root, "content", "ingest", ingestName("without a ref")));
      const row = {
        namespace,
        ref: "old",
        storeRef: "default/2/old",
        expected: undefined,
        expireAt: at - 1n,
      };
      await edit(
        async (metadata) =>
          await metadata.write((transaction) => transaction.put(ingests, [namespace, "old"], row)),
      );
    },
    finds: ["ingest-stale", "ingest-stale", "ingest-stale"],
  },
  {
    name: "files of others",
    does: async ({ root }) => {
      await writeFile(join(root, "content", "blobs", "sha256", "notes.txt"), "mine");
      await writeFile(join(root, "content", "ingest", "notes.txt"), "mine");
      await mkdir(join(root, "snapshots", "mine"));
    },
    finds: ["file-unknown", "file-unknown", "file-unknown"],
    after: async (t, { root }) =>
      t.strictSame((await readdir(join(root, "set-aside"))).sort(), ["mine", "notes.txt", "notes.txt.1"]),
  },
  {
    name: "leases of what is gone, and resources of a lease that is gone",
    does: async ({ edit }) =>
      await edit(
        async (metadata) =>
          await metadata.write((transaction) => {
            transaction.put(leases, [namespace, "l"], { namespace, id: "l", labels: {}, createdAt: at });
            for (const type of ["content", "ingests", "images", "snapshots/overlay"]) {
              transaction.put(leaseResources, [namespace, "l", type, "gone"], { type, id: "gone" });
            }
            const held = { type: "images", id: "app" };
            transaction.put(leaseResources, [namespace, "l", held.type, held.id], held);
            transaction.put(leaseResources, [namespace, "no", held.type, held.id], held);
          }),
      ),
    finds: [...Array.from({ length: 4 }, () => "lease-resource-missing"), "lease-missing"].sort(),
    after: async (t, { edit }) =>
      await edit(async (metadata) =>
        t.equal(metadata.values(leaseResources).length, 1, "the good one stays"),
      ),
  },
  {
    name: "a container without its snapshot",
    does: async ({ edit }) => {
      const row = {
        namespace,
        id: "c",
        labels: {},
        createdAt: at,
        updatedAt: at,
        image: "app",
        runtime: { name: "io.containerd.runc.v2", options: undefined },
        spec: undefined,
        snapshotter: "overlay",
        snapshotKey: "gone",
        extensions: {},
        sandboxId: "",
      };
      await edit(
        async (metadata) =>
          await metadata.write((transaction) => transaction.put(containers, [namespace, "c"], row)),
      );
    },
    finds: ["container-snapshot-missing"],
    stays: ["container-snapshot-missing"],
  },
  {
    name: "a snapshot whose folder is gone, with all that lies on it",
    does: async ({ root, edit }) => {
      await rm(join(root, "snapshots", "1"), { recursive: true });
      const row = { namespace, snapshotter: "overlay", key: "w", storeKey: "work", parent: "" };
      const stored = { ...row, labels: {}, createdAt: at, updatedAt: at };
      await edit(
        async (metadata) =>
          await metadata.write((transaction) =>
            transaction.put(namespacedSnapshots, [namespace, "overlay", "w"], stored),
          ),
      );
    },
    finds: ["snapshot-folder-missing", "snapshot-parent-missing"],
    after: async (t, { root, edit }) => {
      t.ok((await stat(join(root, "set-aside", "2", "fs"))).isDirectory(), "the files of the child are kept");
      await edit(async (metadata) => t.strictSame(metadata.values(namespacedSnapshots), []));
    },
  },
  {
    name: "a snapshot without its parent's row",
    does: async ({ edit }) =>
      await edit(
        async (metadata) => await metadata.write((transaction) => transaction.delete(snapshotRows, "base")),
      ),
    finds: ["snapshot-folder-orphan", "snapshot-parent-missing"],
  },
  {
    name: "a wrong count of children",
    does: async ({ edit }) =>
      await edit(async (metadata) => {
        const row = metadata.get(snapshotRows, "base")!;
        await metadata.write((transaction) =>
          transaction.put(snapshotRows, "base", { ...row, childCount: 7 }),
        );
      }),
    finds: ["snapshot-child-count"],
  },
  {
    name: "a record that the disk has changed",
    does: async ({ root }) => {
      const file = rootPaths(root).metadataFile;
      const text = (await readFile(file)).toString("latin1");
      await writeFile(file, text.replaceAll('"size":5000', '"size":5001'), "latin1");
    },
    finds: ["record-damaged"],
    after: async (t, { edit, digests }) =>
      await edit(async (metadata) =>
        t.match(
          metadata.get(contents, [namespace, digests.layer]),
          { size: 5000 },
          "made anew from the blob",
        ),
      ),
  },
];

t.test("fsck() finds nothing in a sound root and changes nothing in it", async (t) => {
  const rig = await fsckRoot(t);
  const report = await rig.fsck({ isRepair: true });
  t.match(report, { blobs: 4, findings: [], repaired: [] });
  t.notOk((await readdir(rig.root)).includes("set-aside"));
});

for (const { name, does, finds, stays = [], after } of breaks) {
  t.test(`fsck() finds and repairs ${name}`, async (t) => {
    const rig = await fsckRoot(t);
    await does(rig);
    t.strictSame(await rig.kinds(), finds);
    t.strictSame(await rig.kinds(), finds, "looking changes nothing");
    t.strictSame(await rig.kinds({ isRepair: true }), stays);
    t.match(await rig.fsck({ isRepair: true }), { repaired: [] }, "a second repair has nothing to do");
    await after?.(t, rig);
  });
}

t.test("fsck() tells of labels that lead to missing blobs without taking them for damage", async (t) => {
  const rig = await fsckRoot(t);
  await rig.edit(async (metadata) => {
    const key = [namespace, rig.digests.manifest];
    const labels = {
      "containerd.io/gc.ref.content.l.0": rig.digests.layer,
      "containerd.io/gc.ref.content.l.1": sha256(Buffer.from("lazy")),
      "containerd.io/gc.ref.contentious": "no reference",
    };
    const row = metadata.get(contents, key)!;
    await metadata.write((transaction) => transaction.put(contents, key, { ...row, labels }));
  });
  const { findings } = await rig.fsck();
  t.equal(findings.length, 1);
  t.match(findings, [{ kind: "label-target-missing", severity: "note" }]);
});

t.test("fsck() refuses a root that a process has open, and one that is not there", async (t) => {
  const rig = await fsckRoot(t);
  const metadata = await openMetadata({ directory: rootPaths(rig.root).metadata });
  await t.rejects(rig.fsck(), { code: "FAILED_PRECONDITION", reason: "metadata-in-use" });
  await t.rejects(rig.fsck({ rebuildInto: "default" }), { code: "FAILED_PRECONDITION" });
  await metadata.close();
  await rm(rig.root, { recursive: true });
  await t.rejects(rig.fsck(), { code: "NOT_FOUND", reason: "root-missing" });
});

for (const loss of ["damaged", "missing"] as const) {
  t.test(`fsck() rebuilds the content rows when the database is ${loss}`, async (t) => {
    const rig = await fsckRoot(t);
    const file = rootPaths(rig.root).metadataFile;
    if (loss === "damaged") await writeFile(file, "this is no database".repeat(1000));
    else await rename(file, `${file}.elsewhere`);
    await t.rejects(rig.fsck({ isRepair: true }), { code: "DATA_LOSS", hint: /--rebuild-content/ });
    await appendFile(rig.blobPath(rig.digests.config), "damage");
    const report = await rig.fsck({ isRepair: true, rebuildInto: "team" });
    t.match(report.rebuilt, { namespace: "team", rows: 3, lease: "lazuli-fsck-rebuilt" });
    t.equal(report.setAside.length > 0, loss === "damaged", "the old one is kept");
    await rig.edit(async (metadata) => {
      const row = (digest: Digest) => metadata.get(contents, ["team", digest]);
      t.equal(row(rig.digests.config), undefined, "not for damaged bytes");
      const { manifest, layer, index, config } = rig.digests;
      t.strictSame(row(index)?.labels, { "containerd.io/gc.ref.content.m.0": manifest });
      t.strictSame(row(manifest)?.labels, {
        "containerd.io/gc.ref.content.config": config,
        "containerd.io/gc.ref.content.l.0": layer,
      });
      t.strictSame(metadata.values(leaseResources), [{ type: "content", id: index }], "what nothing names");
      t.match(metadata.get(leases, ["team", "lazuli-fsck-rebuilt"])?.labels, {
        "containerd.io/gc.expire": /^2023-11-21T/,
      });
    });
    t.match((await rig.fsck({ rebuildInto: "team" })).rebuilt, { rows: 0, lease: "" }, "once is enough");
  });
}
