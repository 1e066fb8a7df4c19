import { createHash } from "node:crypto";
import t from "tap";
import { compileToc } from "../../src/estargz/index.js";

const ENTRIES = 100_000;
const FILES_PER_FOLDER = 40;
const STREAM_BYTES = 2000;

t.test("compileToc() compiles a TOC of 100,000 entries", async (t) => {
  const entries = [];
  let offset = STREAM_BYTES;
  for (let index = 0; index < ENTRIES; index++) {
    const folder = `usr/lib/python3/dist-packages/package${Math.floor(index / FILES_PER_FOLDER)}`;
    if (index % FILES_PER_FOLDER === 0) {
      entries.push({ name: `${folder}/`, type: "dir", mode: 0o755, modtime: "2024-05-06T07:08:09Z" });
      continue;
    }
    const digest = `sha256:${createHash("sha256").update(String(index)).digest("hex")}`;
    const name = `${folder}/module_${index}.py`;
    entries.push({ name, type: "reg", mode: 0o644, size: 4000, offset, digest, chunkDigest: digest });
    offset += STREAM_BYTES;
  }
  const toc = Buffer.from(JSON.stringify({ version: 1, entries }, undefined, "\t"));
  const started = performance.now();
  const { units, dataSize, facts } = compileToc({
    toc,
    blobSize: offset,
    payloadEnd: offset,
    blockSize: 4096,
  });
  t.comment(`${toc.length} bytes of JSON in ${Math.round(performance.now() - started)} ms`);
  const files = ENTRIES - ENTRIES / FILES_PER_FOLDER;
  t.equal(facts.entries, ENTRIES);
  t.equal(units.length, files);
  t.equal(dataSize, files * 4096);
  t.ok(units.every((unit) => unit.blobLength === STREAM_BYTES));
});
