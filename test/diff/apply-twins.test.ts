import { readFile } from "node:fs/promises";
import t from "tap";
import { listingDifference, treeListing } from "../../testing/rig/tree-listing.js";
import { startUnpacker } from "../../testing/tar/index.js";
import { matrixContents, writeContents } from "../layer/matrix-contents.js";
import { blobOf, openDiffRig, overlayOf, signal } from "./rig.js";

/** Large enough for every shape, small enough for a test that unpacks each twice. */
const sizes = { files: 300, sparseMebibytes: 4 };

/** Folders that no entry describes have the time of the clock. */
function withoutClock(lines: readonly string[], startSeconds: number): string[] {
  return lines.map((line) =>
    line.replace(/\|(\d{10})\|\|$/, (text, seconds: string) =>
      Number(seconds) >= startSeconds ? "|now||" : text,
    ),
  );
}

t.test("apply() makes what containerd makes, of every content of the matrix", async (t) => {
  const start = Math.floor(Date.now() / 1000);
  await using rig = await openDiffRig();
  await using unpacker = await startUnpacker();
  const tars = await writeContents(await rig.folder("tars"), sizes);
  t.equal(tars.length, matrixContents.length);
  const base = await rig.folder("base");
  for (const [index, path] of tars.entries()) {
    const name = matrixContents[index]!.name;
    const bytes = await readFile(path);
    const theirs = await unpacker.unpack(bytes);
    const upper = await rig.folder(`upper-${index}`);
    const mounts = [overlayOf({ upper, lowers: [base] })];
    const ours = await rig.differ
      .apply({ ...blobOf(bytes), mounts, syncFs: false, signal })
      .then(({ digest }) => ({ digest }))
      .catch((error: Error) => ({ error: error.message }));
    // Docker unpacks old GNU's sparse files, containerd does not; we do.
    if ("error" in theirs && theirs.error.includes("unhandled tar header type 83")) {
      t.notOk("error" in ours, name);
      continue;
    }
    if ("error" in theirs || "error" in ours) {
      t.same(
        { name, failed: "error" in ours },
        { name, failed: "error" in theirs },
        JSON.stringify([ours, theirs]),
      );
      continue;
    }
    t.equal(ours.digest, blobOf(bytes).layer.digest, `${name}: the archive's digest`);
    const [left, right] = [await treeListing(theirs.folder), await treeListing(upper)];
    t.same(listingDifference(withoutClock(left, start), withoutClock(right, start)).slice(0, 20), [], name);
  }
});
