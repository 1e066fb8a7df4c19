import { base256, rawEntries, rawHeader, rawTar } from "../../testing/tar/index.js";
import { refused, same, type TarCase } from "./tar-case.js";

const after = { name: "z", content: "after" };

/** PAX sparse 0.1, and what is wrong with it. */
function sparse01(
  map: string,
  options: { size?: string; blocks?: string; content?: string; type?: string } = {},
): Buffer {
  const { size = "2048", content = "data".repeat(128), type = "0" } = options;
  const blocks = options.blocks ?? String(map === "" ? 0 : map.split(",").length / 2);
  return rawTar(
    {
      name: "GNUSparseFile.0/s",
      type,
      content,
      pax: [
        ["GNU.sparse.major", "0"],
        ["GNU.sparse.minor", "1"],
        ["GNU.sparse.name", "s"],
        ["GNU.sparse.size", size],
        ["GNU.sparse.numblocks", blocks],
        ["GNU.sparse.map", map],
      ],
    },
    after,
  );
}

function sparse10(
  map: string,
  options: { size?: string; content?: string; isPadded?: boolean } = {},
): Buffer {
  const { size = "2048", content = "data".repeat(128), isPadded = true } = options;
  const head = isPadded ? map.padEnd(Math.ceil(map.length / 512) * 512, "\0") : map;
  return rawTar(
    {
      name: "GNUSparseFile.0/s",
      content: head + content,
      pax: [
        ["GNU.sparse.major", "1"],
        ["GNU.sparse.minor", "0"],
        ["GNU.sparse.name", "s"],
        ["GNU.sparse.realsize", size],
      ],
    },
    after,
  );
}

/** Sparse format 0.0: two keys for every region. */
function sparse00(records: readonly (readonly [string, string])[]): Buffer {
  return rawTar(
    {
      name: "s",
      content: "data".repeat(128),
      pax: [["GNU.sparse.size", "2048"], ["GNU.sparse.numblocks", "1"], ...records],
    },
    after,
  );
}

type Region = readonly [offset: number | Buffer, length: number | Buffer];

function old(
  regions: readonly Region[],
  options: { more?: Buffer; format?: "gnu" | "ustar"; realSize?: number | Buffer; isExtended?: boolean } = {},
): Buffer {
  const { more = Buffer.alloc(0), format = "gnu", realSize = 2048, isExtended = false } = options;
  const content = "data".repeat(128);
  const header = rawHeader({
    name: "s",
    type: "S",
    format,
    size: content.length,
    patch: (block) => {
      for (const [index, region] of regions.entries()) putRegion(block, 386 + 24 * index, region);
      if (isExtended) block[482] = 1;
      put(block, realSize, 483);
    },
  });
  return rawTar(header, more, Buffer.from(content), after);
}

function putRegion(block: Buffer, at: number, [offset, length]: Region): void {
  put(block, offset, at);
  put(block, length, at + 12);
}

function put(block: Buffer, value: number | Buffer, at: number): void {
  if (Buffer.isBuffer(value)) value.copy(block, at);
  else block.write(value.toString(8).padStart(11, "0"), at, "latin1");
}

function extension(regions: readonly Region[], isExtended = false): Buffer {
  const block = Buffer.alloc(512);
  for (const [index, region] of regions.entries()) putRegion(block, 24 * index, region);
  if (isExtended) block[504] = 1;
  return block;
}

/** Sparse files. Those of the old format are read, but no layer may have them: containerd knows no type "S". */
export const sparseCases: readonly TarCase[] = [
  same("PAX 0.1", sparse01("512,512")),
  same("PAX 0.1 with two regions", sparse01("0,256,1024,256")),
  same("PAX 0.1 without data", sparse01("", { content: "" })),
  same("PAX 0.1 with an empty region at the end", sparse01("0,512,2048,0")),
  same("PAX 0.1 with odd offsets", sparse01("3,511,1025,1")),
  same("PAX 0.1 without a hole", sparse01("0,512", { size: "512" })),
  same("PAX 0.1 of 6 MiB", sparse01("6290944,512", { size: "6291456" })),
  same(
    "PAX 0.0",
    sparse00([
      ["GNU.sparse.offset", "512"],
      ["GNU.sparse.numbytes", "512"],
    ]),
  ),
  same("PAX 1.0", sparse10("1\n512\n512\n")),
  same("PAX 1.0 without data", sparse10("0\n", { content: "" })),
  same(
    "PAX 1.0 with a map of two blocks",
    sparse10(`64\n${Array.from({ length: 64 }, (_, index) => `${index * 16}\n8\n`).join("")}`),
  ),
  same(
    "sparse of an unknown version is an ordinary file",
    rawTar({
      name: "a",
      content: "abc",
      pax: [
        ["GNU.sparse.major", "2"],
        ["GNU.sparse.minor", "0"],
        ["GNU.sparse.name", "s"],
      ],
    }),
  ),
  refused("PAX 0.1 with regions out of order", "tar-sparse", sparse01("1024,256,0,256")),
  refused("PAX 0.1 with regions that overlap", "tar-sparse", sparse01("0,256,255,256")),
  refused("PAX 0.1 behind the end", "tar-sparse", sparse01("1792,512")),
  refused("PAX 0.1 with a negative region", "tar-sparse", sparse01("-512,512")),
  refused("PAX 0.1 with a negative length", "tar-sparse", sparse01("512,-512")),
  refused("PAX 0.1 with a region above 2^53", "tar-number", sparse01("9223372036854775807,512")),
  refused("PAX 0.1 with junk", "tar-number", sparse01("512,abc")),
  refused("PAX 0.1 with an odd count", "tar-sparse", sparse01("0,256,512", { blocks: "1" })),
  refused("PAX 0.1 with another count", "tar-sparse", sparse01("0,512", { blocks: "2" })),
  refused("PAX 0.1 with 10^7 regions claimed", "tar-sparse", sparse01("0,512", { blocks: "10000000" })),
  refused("PAX 0.1 without a count", "tar-number", sparse01("0,512", { blocks: "" })),
  refused("PAX 0.1 with a negative size", "tar-size", sparse01("0,512", { size: "-1" })),
  refused("PAX 0.1 with less data than its map", "tar-sparse-data", sparse01("0,512,1024,512")),
  refused("PAX 0.1 with more data than its map", "tar-sparse-data", sparse01("0,256")),
  refused("PAX 0.1 of a directory", "tar-sparse", sparse01("0,512", { type: "5", content: "" })),
  refused(
    "PAX 0.0 with two offsets",
    "tar-pax",
    sparse00([
      ["GNU.sparse.offset", "0"],
      ["GNU.sparse.offset", "5"],
    ]),
  ),
  refused("PAX 0.0 that begins with a length", "tar-pax", sparse00([["GNU.sparse.numbytes", "0"]])),
  refused(
    "PAX 0.0 with a comma",
    "tar-pax",
    sparse00([
      ["GNU.sparse.offset", "0,512"],
      ["GNU.sparse.numbytes", "512"],
    ]),
  ),
  refused("PAX 1.0 without a newline", "tar-sparse", sparse10("1".repeat(512), { content: "" })),
  refused("PAX 1.0 with a map that does not end", "tar-sparse", sparse10("9\n1\n", { content: "" })),
  refused(
    "PAX 1.0 with a map that is cut",
    "tar-sparse",
    sparse10("1\n512\n512\n", { content: "", isPadded: false }),
  ),
  refused("PAX 1.0 with 10^7 regions", "tar-sparse-too-long", sparse10("10000000\n")),
  refused("PAX 1.0 with -1 regions", "tar-sparse", sparse10("-1\n")),
  refused("PAX 1.0 with junk", "tar-number", sparse10("1\n5x2\n512\n")),
  refused("PAX 1.0 with more data than its map", "tar-sparse-data", sparse10("1\n0\n100\n")),
  refused("old GNU sparse", "tar-entry-type", old([[512, 512]])),
  refused(
    "old GNU sparse with a block behind it",
    "tar-entry-type",
    old(
      [
        [0, 128],
        [256, 128],
      ],
      {
        isExtended: true,
        more: extension([
          [512, 128],
          [1024, 128],
        ]),
      },
    ),
  ),
  refused("old GNU sparse that is cut", "tar-sparse-data", old([[512, 511]])),
  refused(
    "old GNU sparse whose blocks are missing",
    "tar-truncated",
    rawEntries(old([[512, 512]], { isExtended: true }).subarray(0, 512)),
  ),
  refused("old GNU sparse in a ustar header", "tar-sparse", old([[512, 512]], { format: "ustar" })),
  refused("old GNU sparse with a negative region", "tar-sparse", old([[base256(-1n, 12), 512]])),
  refused("old GNU sparse with junk", "tar-number", old([[Buffer.from("zzzzzzzzzzz"), 512]])),
  refused(
    "old GNU sparse of 2^60 bytes",
    "tar-number",
    old([[512, 512]], { realSize: base256(2n ** 60n, 12) }),
  ),
];
