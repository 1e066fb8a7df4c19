import { readFile } from "node:fs/promises";
import t from "tap";
import { parseDigest, sha256 } from "../../src/bytes/index.js";
import { compileToc, openToc } from "../../src/estargz/index.js";
import { encodeUnitTable } from "../../src/units/index.js";
import { decodeUnits, listTree } from "../../testing/estargz-decode.js";

/**
 * A layer that stargz-snapshotter's ctr-remote 0.12 converted (`images convert --estargz --oci --estargz-chunk-size
 * 10000`) from a tar with one entry of each kind. The listing was compared with what GNU tar unpacks from that tar.
 */
const fixture = new URL("../../../test/estargz/fixtures/converted.esgz", import.meta.url);
const tocDigest = parseDigest("sha256:2e2d07f074b621987698acf9f5bb4722dcf1449bea918dbea3247f640f782120");
const unitTableDigest = "sha256:ccc94724a4d47fd1bf86b02244a49513225f61cfefa54b70f16d4a1972ba0550";

const time = 1_600_000_000;
const folder = `directory 755 0:0 ${time}`;
const implied = "directory 755 0:0 0";
const deep = Array.from({ length: 20 }, (_, index) => `d${index}`);

const listing: Record<string, string> = {
  "/": implied,
  "/etc": folder,
  "/etc/hostname": `file 644 0:0 ${time} a199fa6df8b2`,
  "/usr": folder,
  "/usr/bin": folder,
  "/usr/bin/tool": `file 4755 10:4000000000 ${time} 4ab46a35dfe5`,
  "/usr/bin/again": `file 4755 10:4000000000 ${time} 4ab46a35dfe5`,
  "/usr/bin/sh": `symlink 777 0:0 ${time} -> tool`,
  "/tmp": `directory 1777 0:0 ${time}`,
  "/dev": folder,
  "/dev/null": `character 666 0:0 ${time} 1,3`,
  "/run": folder,
  "/run/pipe": `fifo 600 0:0 ${time}`,
  "/empty": `file 644 0:0 ${time} e3b0c44298fc`,
  "/capable": `file 644 0:0 ${time} bdcdc9e9204f user.note=6869`,
  // Its tar says five seconds before 1970, which an unpacking containerd makes 1970.
  "/old": "directory 755 0:0 0",
  "/old/gone": `character 0 0:0 ${time} 0,0`,
  "/opaque": `${folder} trusted.overlay.opaque=79`,
  "/opaque/kept": `file 644 0:0 ${time} 79f076abdd19`,
  "/name with spaces": implied,
  "/name with spaces/größe 名": `file 644 0:0 ${time} 2fcf76a4c3c7`,
  "/deep": implied,
  ...Object.fromEntries(deep.map((_, index) => [`/deep/${deep.slice(0, index + 1).join("/")}`, implied])),
  [`/deep/${deep.join("/")}/leaf`]: `file 644 0:0 ${time} 96cf0af76477`,
};

t.test("compileToc() makes of a converted layer what its tar holds", async (t) => {
  const blob = await readFile(fixture);
  const blobSize = blob.length;
  const read = async ({ offset, length }: { offset: number; length: number }): Promise<Buffer> =>
    blob.subarray(offset, offset + length);
  const { toc, payloadEnd, kind } = await openToc({ blobSize, read, tocDigest });
  t.equal(kind, "estargz");
  const compiled = compileToc({ toc, blobSize, payloadEnd, blockSize: 4096 });
  t.same(listTree(compiled, decodeUnits(blob, compiled)), listing);
  t.same(compiled.prefetch, { kind: "none" });
  const { units, dataSize } = compiled;
  t.equal(sha256(encodeUnitTable(units, { dataSize, blobSize, blockSize: 4096 }).buffer), unitTableDigest);
});
