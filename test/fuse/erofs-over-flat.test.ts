import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import t from "tap";
import { bytesOfText } from "../../src/bytes/index.js";
import { writeErofs } from "../../src/erofs/index.js";
import { unmountFuse } from "../../src/fuse/index.js";
import type { TreeNode } from "../../src/tree/index.js";
import { addSample, binding, ingest, makeRig, makeSample, sha256, sumFromOutside } from "./rig.js";

const run = promisify(execFile);
const MS_RDONLY = 1;
const FILES = 20;
const FILE_BYTES = 70_001;
const FILE_SPACE = 70_144;

/** Files of one unit each; each begins at a multiple of 512 bytes, and of nothing greater. */
const contents = Array.from({ length: FILES }, () => randomBytes(FILE_BYTES));
const sample = makeSample(
  contents.map((content, index) => ({
    codec: "gzip",
    content,
    units: [[0, FILE_BYTES, index * FILE_SPACE]],
  })),
  FILES * FILE_SPACE,
);

function fileNode(index: number): TreeNode {
  const time = { seconds: 1_600_000_000n, nanoseconds: 0 };
  const dataOffset = BigInt(index * FILE_SPACE);
  return {
    kind: "file",
    mode: 0o644,
    uid: 0,
    gid: 0,
    mtime: time,
    xattrs: [],
    size: BigInt(FILE_BYTES),
    dataOffset,
  };
}

t.test("EROFS on a file of a flat mount reads missing units and never asks for warm ones", async (t) => {
  const time = { seconds: 1_600_000_000n, nanoseconds: 0 };
  const children = new Map(contents.map((_, index) => [bytesOfText(`file-${index}`), fileNode(index)]));
  const root = { kind: "directory", mode: 0o755, uid: 0, gid: 0, mtime: time, xattrs: [], children } as const;
  const meta = writeErofs({ root, blockSize: 512, dataSize: sample.table.dataSize });
  for (const option of ["", ",directio"]) {
    await using rig = await makeRig();
    addSample(rig, 1, sample);
    rig.onMiss = ({ firstUnit, lastUnit }) => void ingest(rig, 1, sample, { firstUnit, lastUnit });
    const paths = { meta: join(rig.folder, "meta"), tree: join(rig.folder, "tree") };
    writeFileSync(paths.meta, meta);
    mkdirSync(paths.tree);
    await binding.mount(
      paths.meta,
      paths.tree,
      "erofs",
      MS_RDONLY,
      `device=${join(rig.mount, "1")}${option}`,
    );
    try {
      t.equal((await run("ls", ["-l", paths.tree])).stdout.split("\n").length, FILES + 2);
      t.equal(rig.plane.stats().reads, 0, "names and attributes ask nothing");
      for (const index of [7, 0, 19]) {
        t.equal(await sumFromOutside(join(paths.tree, `file-${index}`)), sha256(contents[index]!));
      }
      const cold = rig.plane.stats();
      t.ok(cold.unitsStored >= 3 && cold.unitsStored < FILES, "only what was read was fetched");
      t.equal(await sumFromOutside(join(paths.tree, "file-7")), sha256(contents[7]!));
      t.equal(rig.plane.stats().reads, cold.reads, "the second read asks nothing");
      await run("bash", ["-c", 'cat "$1"/* >/dev/null', "bash", paths.tree]);
      t.equal(rig.plane.stats().unitsStored, FILES);
    } finally {
      await unmountFuse(binding, paths.tree);
    }
  }
});
