import t from "tap";
import { openToc } from "../../src/estargz/index.js";
import { Compilers } from "../../src/layer/compile-layer.js";
import { rehearseCompile } from "../../src/layer/rehearse-compile.js";
import { sampleFiles, sampleLayer } from "../../testing/layer/sample-layer.js";

t.test("compile() gives a layer's files, and an error that concerns only one layer", async (t) => {
  const compilers = new Compilers();
  t.teardown(() => compilers.close());
  const layer = sampleLayer(sampleFiles("compile", [100_000, 5]), { prefetched: 1 });
  const { toc, payloadEnd } = await openToc({
    blobSize: layer.blob.length,
    tocDigest: layer.tocDigest,
    read: async ({ offset, length }) => layer.blob.subarray(offset, offset + length),
  });
  const compile = async (bytes: Buffer, signal?: AbortSignal) =>
    await compilers.compile({
      input: { format: "estargz", toc: bytes, blobSize: layer.blob.length, payloadEnd },
      subject: "layer",
      signal,
    });
  compilers.rehearse();
  const compiled = await compile(toc);
  t.equal(compiled.units.count, 3);
  t.equal(compiled.units.blobSize, layer.blob.length);
  t.same(compiled.prefetch, { kind: "range", end: layer.landmark });
  t.same(compiled.rootOwner, { uid: 0, gid: 0 });
  t.ok(toc.length > 0, "the caller keeps its copy");

  const wrong = Buffer.from('{"version":1,"entries":[{"name":"a","type":"reg","size":"x"}]}');
  await t.rejects(compile(wrong), {
    code: "INVALID_ARGUMENT",
    subject: "layer",
  });
  const left = new AbortController();
  const leaving = compile(toc, left.signal);
  left.abort(new Error("left"));
  await t.rejects(leaving, /left/);
  const again = await Promise.all([1, 2, 3].map(() => compile(toc)));
  for (const { meta } of again) t.same(meta, compiled.meta, "the same TOC gives the same bytes");
});

t.test("rehearseCompile() compiles made-up indexes until it isn't wanted", async (t) => {
  let asked = 0;
  const ends = async (last: number): Promise<number> => {
    asked = 0;
    await rehearseCompile({
      isWanted: () => {
        asked += 1;
        return asked < last;
      },
    });
    return asked;
  };
  t.equal(await ends(3), 3);
  const all = await ends(Number.POSITIVE_INFINITY);
  t.ok(all > 3, "it ends by itself too");
});
