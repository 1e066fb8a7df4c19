import t from "tap";
import { type ErrorCode, LazuliError } from "../../src/errors/index.js";
import type { CompiledTar } from "../../src/tar/index.js";
import { recordCounts } from "../../testing/counts/index.js";
import { rawEntries, startUnpacker } from "../../testing/tar/index.js";
import { compiled } from "../tar/compiled.js";
import { listBoth } from "../tar/same-listing.js";
import { bounded } from "./growth.js";
import type { TarCase } from "./tar-case.js";
import { linkCases, typeCases, whiteoutCases } from "./tar-link-cases.js";
import { nameCases } from "./tar-name-cases.js";
import { numberCases, paxCases, xattrCases } from "./tar-number-cases.js";
import { sparseCases } from "./tar-sparse-cases.js";

t.setTimeout(0);

const sets: Readonly<Record<string, readonly TarCase[]>> = {
  names: nameCases,
  links: linkCases,
  whiteouts: whiteoutCases,
  "types, devices and owners": typeCases,
  "numbers and ends": numberCases,
  "PAX headers": paxCases,
  "extended attributes": xattrCases,
  "sparse files": sparseCases,
};
const LEAST = 340;
/** Bytes of the last block that an archive may be cut behind; 188 is the end of a file's contents. */
const CUTS = [0, 1, 100, 187, 188, 189, 511];

const exhausted = new Set([
  "tar-header-too-large",
  "tar-file-too-large",
  "tar-sparse-too-long",
  "tar-too-many-entries",
  "tar-path-too-long",
  "tar-too-much-metadata",
]);
const gaps = new Set(["tar-multi-volume", "tar-acl-default", "tar-whiteout-parent"]);

function codeOf(reason: string): ErrorCode {
  if (exhausted.has(reason)) return "RESOURCE_EXHAUSTED";
  return gaps.has(reason) ? "UNIMPLEMENTED" : "INVALID_ARGUMENT";
}

/** Only typed errors count: anything else that is thrown is a finding. */
async function outcome(tar: Buffer): Promise<CompiledTar | LazuliError> {
  try {
    return await compiled(tar);
  } catch (error) {
    if (!(error instanceof LazuliError)) throw error;
    return error;
  }
}

t.test("compileTar() accepts and refuses what containerd does", async (t) => {
  await using unpacker = await startUnpacker();
  for (const [set, cases] of Object.entries(sets)) {
    await t.test(set, async (t) => {
      for (const { name, tar, reason, stricter } of cases) {
        const result = await bounded(t, name, () => outcome(tar));
        if (result instanceof LazuliError) {
          const verdict = { code: result.code, reason: result.reason };
          t.same(verdict, { code: codeOf(reason ?? ""), reason }, `${name}: ${result.message}`);
          const isRefused = stricter !== undefined || "error" in (await unpacker.unpack(tar));
          t.ok(isRefused, `${name}: containerd refuses it, too`);
        } else {
          t.equal(reason, undefined, `${name}: it is accepted`);
          const unpacked = await unpacker.unpack(tar);
          if ("error" in unpacked) t.fail(`${name}: containerd refuses it: ${unpacked.error}`);
          else {
            const { seen, wanted } = listBoth(tar, result, unpacked.folder);
            t.same(seen, wanted, `${name}: the tree is containerd's`);
          }
        }
      }
    });
  }
  const all = Object.values(sets).flat();
  t.equal(new Set(all.map(({ name }) => name)).size, all.length, "each case has a name of its own");
  t.ok(all.length >= LEAST, `${all.length} named cases`);
  t.comment(`${all.length} named cases`);
  await recordCounts({
    name: "hostile-tar",
    what: "Hostile tars, beside containerd",
    figures: { cases: all.length },
  });
});

t.test("readTar() takes an archive that is cut anywhere as containerd would, or refuses it", async (t) => {
  const tar = rawEntries(
    { name: "d", type: "5" },
    { name: "d/a", content: "x".repeat(700), pax: [["path", "d/long"]] },
    { name: "././@LongLink", type: "L", content: "d/other\0" },
    { name: "b", content: "y" },
  );
  const sizes = Array.from({ length: tar.length }, (_, size) => size);
  for (const size of sizes.filter((each) => CUTS.includes(each % 512))) {
    const result = await outcome(tar.subarray(0, size));
    if (result instanceof LazuliError) t.equal(result.reason, "tar-truncated", `${size} bytes`);
    // A header may come at every multiple of a block that is not inside contents.
    else t.ok(result.facts.entries <= 3 && result.dataSize >= size, `${size} bytes`);
  }
});
