import t from "tap";
import { parseDigest } from "../../src/bytes/index.js";
import { openToc } from "../../src/estargz/index.js";
import { mediaTypes } from "../../src/oci/index.js";
import { Registry } from "../../src/registry/index.js";
import { labelResolver } from "../../src/snapshotters/index.js";
import { buildEstargz } from "../../testing/estargz-builder.js";
import { type RegistryServer, startRegistry } from "../../testing/registry/index.js";

const layer = buildEstargz([{ name: "a", type: "reg", content: "hello" }], { footer: "external" });
const other = buildEstargz([{ name: "b", type: "reg", content: "world" }], { footer: "external" });
const stranger = parseDigest(`sha256:${"0".repeat(64)}`);

async function start(
  test: Pick<typeof t, "teardown">,
): Promise<{ server: RegistryServer; registry: Registry }> {
  const server = await startRegistry();
  const retry = { attempts: 2, minWaitMs: 1, maxWaitMs: 5 };
  const registry = new Registry({ dockerConfigPaths: [], retry });
  test.teardown(async () => {
    await registry.close();
    await server.stop();
  });
  return { server, registry };
}

/** Adds the TOC image as converters write it; `size` is what its manifest claims for the TOC of `layer`. */
function addTocImage(server: RegistryServer, tag: string, size = layer.tocBlob!.length): void {
  const layers = [layer, other].map((one) => ({
    mediaType: mediaTypes.ociLayerGzip,
    digest: server.addBlob(one.tocBlob!),
    size: one === layer ? size : one.tocBlob!.length,
    annotations: { "containerd.io/snapshot/stargz/layer.digest": server.addBlob(one.blob) },
  }));
  const config = { mediaType: mediaTypes.ociConfig, digest: server.addBlob(Buffer.from("{}")), size: 2 };
  const mediaType = mediaTypes.ociManifest;
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, config, layers }));
  server.addManifest({ repository: "library/app", tag, bytes, mediaType });
}

async function requestFor(registry: Registry, name: { reference: string; digest: string }) {
  const resolution = await labelResolver({
    registry,
    hostContent: undefined,
    soci: undefined,
    wholeBytesMin: undefined,
  }).resolve({
    key: "default/1/extract",
    target: "chain",
    labels: {
      "containerd.io/snapshot/cri.image-ref": name.reference,
      "containerd.io/snapshot/cri.layer-digest": name.digest,
      "containerd.io/snapshot/stargz/toc.digest": layer.tocDigest,
    },
    signal: new AbortController().signal,
  });
  if (resolution.kind !== "layer") throw new Error("the labels name a layer");
  const { index } = resolution.request;
  if (index?.kind !== "estargz") throw new Error("the labels name a TOC");
  return { ...resolution.request, index };
}

t.test("labelResolver() finds the TOC of a layer in the TOC image of its reference", async (t) => {
  const { server, registry } = await start(t);
  const digest = server.addBlob(layer.blob);
  addTocImage(server, "v1-esgztoc");
  const reference = `${server.host}/library/app:v1`;
  const request = await requestFor(registry, { reference, digest });
  t.same(server.log, [], "finding out costs no network");
  const source = await request.openSource({});
  const opened = await openToc({
    blobSize: source.size,
    ...request.index,
    read: async (range) => {
      const pieces: Buffer[] = [];
      for await (const piece of source.readRange(range)) pieces.push(piece);
      return Buffer.concat(pieces);
    },
  });
  t.same(opened, { toc: layer.tocJson, kind: "external", payloadEnd: layer.blob.length });
});

t.test("labelResolver() says why a TOC can't be had from the TOC image", async (t) => {
  const { server, registry } = await start(t);
  const digest = server.addBlob(layer.blob);
  const reference = `${server.host}/library/app:v1`;
  const load = async (name: { reference: string; digest: string }) =>
    await (await requestFor(registry, name)).index.loadExternalToc!({});
  await t.rejects(load({ reference, digest }), { code: "NOT_FOUND" }, "no such image");
  addTocImage(server, "v1-esgztoc");
  await t.rejects(load({ reference, digest: stranger }), { code: "NOT_FOUND", reason: "toc-layer-missing" });
  const byDigest = `${server.host}/library/app@${stranger}`;
  await t.rejects(load({ reference: byDigest, digest }), {
    code: "FAILED_PRECONDITION",
    reason: "toc-reference",
  });
  addTocImage(server, "short-esgztoc", layer.tocBlob!.length - 1);
  const short = `${server.host}/library/app:short`;
  await t.rejects(load({ reference: short, digest }), { code: "RESOURCE_EXHAUSTED", reason: "too-large" });
  addTocImage(server, "huge-esgztoc", 2 ** 40);
  const huge = `${server.host}/library/app:huge`;
  await t.rejects(load({ reference: huge, digest }), { code: "RESOURCE_EXHAUSTED", reason: "toc-too-large" });
  const left = new AbortController();
  left.abort(new Error("left"));
  const request = await requestFor(registry, { reference, digest });
  await t.rejects(request.index.loadExternalToc!({ signal: left.signal }), /left/);
});
