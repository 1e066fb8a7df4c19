import t from "tap";
import { type Digest, sha256 } from "../../src/bytes/index.js";
import { LazuliError } from "../../src/errors/index.js";
import { mediaTypes, parseIndex, parseManifest } from "../../src/oci/index.js";
import {
  artifactTypes,
  buildSociIndex,
  embeddedSociIndexes,
  embedSociIndexes,
  encodePrefetch,
  parsePrefetch,
  parseSociIndex,
  selectReferrer,
  sociAnnotations,
  sociDiscovery,
  sociLabels,
  type ZtocReference,
} from "../../src/soci/index.js";

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
const digestOf = (text: string): Digest => sha256(Buffer.from(text));

const layer = { mediaType: mediaTypes.dockerLayerGzip, digest: digestOf("layer"), size: 5 };
const manifest = json({
  schemaVersion: 2,
  mediaType: mediaTypes.dockerManifest,
  config: { mediaType: mediaTypes.dockerConfig, digest: digestOf("config"), size: 6 },
  layers: [layer],
  annotations: { "org.example.kept": "yes" },
});
const subject = { mediaType: mediaTypes.dockerManifest, digest: sha256(manifest), size: manifest.length };
const platform = { os: "linux", architecture: "arm64", variant: "v8" };
const ztoc: ZtocReference = {
  digest: digestOf("ztoc"),
  size: 4,
  layerDigest: layer.digest,
  layerMediaType: layer.mediaType,
  spanSize: 1 << 22,
  disablesXattrs: true,
};
const prefetch = { digest: digestOf("prefetch"), size: 8, layerDigest: layer.digest };
const v1 = buildSociIndex({ version: 1, ztocs: [ztoc], prefetches: [prefetch], buildTool: "tool", subject });
const v2 = buildSociIndex({ version: 2, ztocs: [ztoc], buildTool: "tool" });

function reasonOf(run: () => unknown): string | undefined {
  try {
    run();
  } catch (error) {
    if (error instanceof LazuliError) return error.reason;
    throw error;
  }
  return undefined;
}

/** An index with some of its JSON replaced. */
function changed(index: Buffer, change: (fields: Record<string, unknown>) => void): Buffer {
  const fields = JSON.parse(index.toString());
  change(fields);
  return json(fields);
}

t.test("parseSociIndex() reads what buildSociIndex() writes", async (t) => {
  t.same(parseSociIndex(v1.bytes, { subject: subject.digest }), {
    version: 1,
    buildTool: "tool",
    subject: subject.digest,
    ztocs: new Map([[layer.digest, ztoc]]),
    prefetches: new Map([[layer.digest, prefetch]]),
  });
  t.match(parseSociIndex(v2.bytes), {
    version: 2,
    subject: undefined,
    ztocs: new Map([[layer.digest, ztoc]]),
  });
  t.equal(v2.mediaType, mediaTypes.ociManifest);
  t.equal(v2.digest, sha256(v2.bytes));
});

t.test("parseSociIndex() takes artifacts of unknown types, and one zTOC twice", async (t) => {
  const bytes = changed(v2.bytes, (fields) => {
    const [first] = fields.layers as object[];
    fields.layers = [first, first, { mediaType: "application/x-new", digest: digestOf("x"), size: 1 }];
    fields.artifactType = artifactTypes[2];
  });
  t.same([...parseSociIndex(bytes).ztocs.values()], [ztoc]);
});

t.test("parseSociIndex() refuses an index of another image, type or meaning", async (t) => {
  const layers = JSON.parse(v2.bytes.toString()).layers as { annotations: Record<string, string> }[];
  const rows: readonly [string, string, () => unknown][] = [
    [
      "another subject",
      "soci-index-other-image",
      () => parseSociIndex(v1.bytes, { subject: digestOf("other") }),
    ],
    ["no subject", "soci-index-other-image", () => parseSociIndex(v2.bytes, { subject: subject.digest })],
    ["an image manifest", "soci-index-invalid", () => parseSociIndex(manifest)],
    [
      "artifactType of v1 with a config of v2",
      "soci-index-invalid",
      () =>
        parseSociIndex(
          changed(v2.bytes, (fields) => Object.assign(fields, { artifactType: artifactTypes[1] })),
        ),
    ],
    [
      "two zTOCs for one layer",
      "soci-index-ambiguous",
      () =>
        parseSociIndex(
          changed(v2.bytes, (fields) =>
            Object.assign(fields, { layers: [layers[0], { ...layers[0], digest: digestOf("second") }] }),
          ),
        ),
    ],
    [
      "a zTOC for no layer",
      "digest-invalid",
      () =>
        parseSociIndex(
          changed(v2.bytes, (fields) =>
            Object.assign(fields, { layers: [{ ...layers[0], annotations: {} }] }),
          ),
        ),
    ],
    [
      "a zTOC of 1 TiB",
      "soci-index-invalid",
      () =>
        parseSociIndex(
          changed(v2.bytes, (fields) => Object.assign(fields, { layers: [{ ...layers[0], size: 2 ** 40 }] })),
        ),
    ],
    [
      "a span size that is no number",
      "soci-index-invalid",
      () => parseSociIndex(Buffer.from(v2.bytes.toString().replace("4194304", "4 MiB"))),
    ],
    [
      "a subject that is a text",
      "soci-index-invalid",
      () => parseSociIndex(changed(v1.bytes, (fields) => Object.assign(fields, { subject: "sha256" }))),
    ],
  ];
  for (const [name, reason, run] of rows) t.equal(reasonOf(run), reason, name);
});

t.test("embedSociIndexes() binds an index to a single manifest", async (t) => {
  const { index, manifests } = embedSociIndexes({
    image: manifest,
    platform,
    manifests: new Map(),
    sociIndexes: new Map([[sha256(manifest), v2]]),
  });
  const renamed = manifests.get(sha256(manifest))!;
  const parsed = parseManifest(renamed.bytes);
  t.match(parsed, {
    mediaType: mediaTypes.ociManifest,
    config: { mediaType: mediaTypes.ociConfig, digest: digestOf("config") },
    layers: [{ mediaType: layer.mediaType, digest: layer.digest }],
  });
  t.same({ ...parsed.annotations }, { "org.example.kept": "yes", [sociAnnotations.indexDigest]: v2.digest });
  const [image, soci] = parseIndex(index.bytes).manifests;
  t.match(image, { digest: renamed.digest, size: renamed.size, platform });
  t.equal(image!.annotations[sociAnnotations.indexDigest], v2.digest);
  t.match(soci, { digest: v2.digest, size: v2.size, platform });
  t.same(embeddedSociIndexes(index.bytes), [
    { digest: v2.digest, size: v2.size, imageManifestDigest: renamed.digest },
  ]);
  t.same(embeddedSociIndexes(manifest), []);
});

t.test("embedSociIndexes() replaces an older index and leaves the rest of an image index", async (t) => {
  const descriptor = { ...subject, platform: { ...platform, "os.version": "9" } };
  const attested = { "vnd.docker.reference.digest": subject.digest };
  const away = { mediaType: mediaTypes.ociManifest, digest: digestOf("away"), size: 9 };
  const image = json({
    schemaVersion: 2,
    mediaType: mediaTypes.dockerIndex,
    manifests: [
      descriptor,
      { ...away, annotations: attested },
      { ...away, platform, artifactType: artifactTypes[2], digest: digestOf("old index") },
      { ...away, platform: { os: "linux", architecture: "amd64" }, artifactType: artifactTypes[2] },
    ],
    annotations: { note: "kept" },
  });
  const { index, manifests } = embedSociIndexes({
    image,
    manifests: new Map([[subject.digest, manifest]]),
    sociIndexes: new Map([[subject.digest, v2]]),
  });
  const renamed = manifests.get(subject.digest)!;
  const fields = JSON.parse(index.bytes.toString());
  t.match(fields, { mediaType: mediaTypes.ociIndex, annotations: { note: "kept" } });
  t.same(
    fields.manifests.map(({ digest }: { digest: string }) => digest),
    [renamed.digest, away.digest, away.digest, v2.digest],
  );
  t.equal(fields.manifests[0].platform["os.version"], "9");
  t.equal(fields.manifests[1].annotations["vnd.docker.reference.digest"], renamed.digest);
  t.equal(fields.manifests[3].artifactType, artifactTypes[2]);
});

t.test("embedSociIndexes() refuses an index of no manifest, and a manifest of no platform", async (t) => {
  const sociIndexes = new Map([[digestOf("other"), v2]]);
  t.equal(
    reasonOf(() => embedSociIndexes({ image: manifest, platform, manifests: new Map(), sociIndexes })),
    "soci-index-invalid",
  );
  t.equal(
    reasonOf(() => embedSociIndexes({ image: manifest, manifests: new Map(), sociIndexes: new Map() })),
    "soci-index-invalid",
  );
});

t.test("encodePrefetch() sorts and joins ranges, and parsePrefetch() reads them", async (t) => {
  const bytes = encodePrefetch([
    { first: 5, last: 6, priority: 0 },
    { first: 1, last: 3, priority: 0 },
    { first: 4, last: 4, priority: 0 },
    { first: 2, last: 2, priority: 0 },
    { first: 9, last: 9, priority: -1 },
  ]);
  t.same(JSON.parse(bytes.toString()), {
    version: "1.0",
    prefetch_spans: [
      { start_span: 9, end_span: 9, priority: -1 },
      { start_span: 1, end_span: 6 },
    ],
  });
  t.same(parsePrefetch(bytes), [
    { first: 9, last: 9, priority: -1 },
    { first: 1, last: 6, priority: 0 },
  ]);
  t.equal(
    reasonOf(() => encodePrefetch([])),
    "soci-prefetch-invalid",
  );
});

t.test("parsePrefetch() refuses what is no list of ranges", async (t) => {
  const span = { start_span: 1, end_span: 2 };
  const rows: readonly unknown[] = [
    [],
    { version: "2.0", prefetch_spans: [span] },
    { version: "1.0" },
    { version: "1.0", prefetch_spans: [] },
    { version: "1.0", prefetch_spans: [7] },
    { version: "1.0", prefetch_spans: [{ start_span: 3, end_span: 2 }] },
    { version: "1.0", prefetch_spans: [{ start_span: -1, end_span: 2 }] },
    { version: "1.0", prefetch_spans: [{ start_span: 0.5, end_span: 2 }] },
    { version: "1.0", prefetch_spans: [{ start_span: 0, end_span: 2 ** 31 }] },
    { version: "1.0", prefetch_spans: [{ ...span, priority: "high" }] },
  ];
  for (const row of rows) {
    t.equal(
      reasonOf(() => parsePrefetch(json(row))),
      "soci-prefetch-invalid",
      JSON.stringify(row),
    );
  }
});

const base = {
  labels: {},
  manifestDigest: subject.digest,
  manifestAnnotations: { [sociAnnotations.indexDigest]: v2.digest },
  takesAnnotation: true,
  takesReferrers: true,
};

t.test("sociDiscovery() looks where SOCI looks, in its order", async (t) => {
  const labels = { [sociLabels.indexDigest]: v1.digest };
  const off = { takesAnnotation: false, takesReferrers: false };
  t.same(sociDiscovery({ ...base, labels, ...off }), { kind: "digest", digest: v1.digest, from: "label" });
  t.same(sociDiscovery(base), { kind: "digest", digest: v2.digest, from: "annotation" });
  const referrers = {
    kind: "referrers",
    manifest: subject.digest,
    artifactType: "application/vnd.amazon.soci.index.v1+json",
    fallbackTag: subject.digest.replace(":", "-"),
  };
  t.same(sociDiscovery({ ...base, manifestAnnotations: {} }), referrers);
  t.same(sociDiscovery({ ...base, takesAnnotation: false }), referrers);
  t.same(sociDiscovery({ ...base, ...off }), { kind: "none" });
  t.same(sociDiscovery({ ...base, manifestAnnotations: {}, takesReferrers: false }), { kind: "none" });
});

t.test("sociDiscovery() refuses a digest that is none", async (t) => {
  t.equal(
    reasonOf(() => sociDiscovery({ ...base, labels: { [sociLabels.indexDigest]: "latest" } })),
    "digest-invalid",
  );
  t.equal(
    reasonOf(() =>
      sociDiscovery({ ...base, manifestAnnotations: { [sociAnnotations.indexDigest]: "sha256:../x" } }),
    ),
    "digest-invalid",
  );
});

t.test("selectReferrer() takes the first v1 index", async (t) => {
  const entry = { mediaType: mediaTypes.ociManifest, size: 3 };
  const list = json({
    schemaVersion: 2,
    mediaType: mediaTypes.ociIndex,
    manifests: [
      { ...entry, digest: digestOf("signature"), artifactType: "application/x" },
      { ...entry, digest: digestOf("first"), artifactType: artifactTypes[1] },
      { ...entry, digest: digestOf("second"), artifactType: artifactTypes[1] },
    ],
  });
  t.same(selectReferrer(list), { digest: digestOf("first"), size: 3 });
  t.equal(selectReferrer(json({ schemaVersion: 2, manifests: [] })), undefined);
});
