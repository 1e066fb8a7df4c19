import t from "tap";
import { parseDigest } from "../../src/bytes/index.js";
import { TOC_DIGEST_ANNOTATION } from "../../src/estargz/index.js";
import { decryptor, needsProcessors } from "../../src/processors/index.js";
import { type FoundLayer, type LabelResolverOptions, labelResolver } from "../../src/snapshotters/index.js";

const digestOf = (digit: string) => parseDigest(`sha256:${digit.repeat(64)}`);
const processors = [decryptor({ keys: [] })];
const registry = {
  openBlob: () => {
    throw new Error("A resolver asks no registry");
  },
} as unknown as LabelResolverOptions["registry"];
const encrypted = "application/vnd.oci.image.layer.v1.tar+gzip+encrypted";
const annotations = {
  "org.opencontainers.image.enc.keys.jwe": "e30=",
  // Of the layer inside; the blob has no table of contents at its end.
  [TOC_DIGEST_ANNOTATION]: digestOf("7"),
};

function found(mediaType: string, neighbourType = mediaType): FoundLayer {
  const layer = (digit: string, type: string) => ({
    layer: { mediaType: type, digest: digestOf(digit), size: 100, annotations, platform: undefined },
    diffId: digestOf("9"),
  });
  return {
    reference: "registry.example/secret:1",
    ...layer("a", mediaType),
    manifestDigest: digestOf("e"),
    manifestAnnotations: {},
    neighbours: [layer("b", neighbourType)],
  };
}

async function resolve(
  options: { found: FoundLayer } & Partial<LabelResolverOptions> & { isLocal?: boolean },
) {
  return await labelResolver({
    registry,
    soci: undefined,
    wholeBytesMin: 1_000_000,
    isProcessed: (mediaType) => needsProcessors(processors, mediaType),
    hostContent: { hasBlob: async () => options.isLocal === true, findLayer: async () => options.found },
    ...options,
  }).resolve({ key: "k8s.io/1/x", target: "T", labels: {}, signal: new AbortController().signal });
}

t.test(
  "labelResolver() has an encrypted layer fetched whole, whatever its size and annotations",
  async (t) => {
    const index = { kind: "whole", diffId: digestOf("9"), processing: { annotations } };
    for (const isLocal of [false, true]) {
      t.match(await resolve({ found: found(encrypted), isLocal }), {
        kind: "layer",
        request: { digest: digestOf("a"), mediaType: encrypted, index },
        neighbours: [{ digest: digestOf("b"), index }],
      });
    }
  },
);

t.test("labelResolver() says why an encrypted layer is left to the client", async (t) => {
  const left = { kind: "unknown", reason: "layer-encrypted" };
  t.match(await resolve({ found: found(encrypted), wholeBytesMin: undefined }), left);
  t.match(await resolve({ found: found(encrypted), isProcessed: () => false }), left);
});

t.test("labelResolver() knows media types that only a program takes", async (t) => {
  const options = { isProcessed: (mediaType: string) => mediaType === "test/rot" };
  t.match(await resolve({ found: found("test/rot"), ...options }), { request: { index: { kind: "whole" } } });
  t.match(await resolve({ found: found("test/other"), ...options }), {
    request: { index: { kind: "estargz" } },
  });
});
