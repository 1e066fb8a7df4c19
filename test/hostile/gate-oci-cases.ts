import { parseDigest, sha256 } from "../../src/bytes/index.js";
import {
  imageLayers,
  parseImageConfig,
  parseIndex,
  parseManifest,
  parseManifestOrIndex,
  parseReference,
  selectPlatform,
} from "../../src/oci/index.js";
import { parseSociIndex } from "../../src/soci/index.js";
import { answers, type GateCase, json, refusals } from "./gate-case.js";

const manifestType = "application/vnd.oci.image.manifest.v1+json";
const indexType = "application/vnd.oci.image.index.v1+json";
const layerType = "application/vnd.oci.image.layer.v1.tar+gzip";
const digest = sha256(Buffer.from("layer"));
const config = { mediaType: "application/vnd.oci.image.config.v1+json", digest, size: 2 };
const layer = { mediaType: layerType, digest, size: 100 };
const manifest = { schemaVersion: 2, mediaType: manifestType, config, layers: [layer] };
const index = { schemaVersion: 2, mediaType: indexType, manifests: [{ ...config, mediaType: manifestType }] };
const text = (value: string): Buffer => Buffer.from(value);

const digestCases: readonly GateCase[] = refusals<unknown>(
  { group: "O-dig", run: parseDigest, code: "INVALID_ARGUMENT", reason: "digest-invalid" },
  [
    ["a path that leads up", "sha256:../../../etc/passwd"],
    ["an empty text", ""],
    ["an algorithm only", "sha256:"],
    ["a colon only", ":"],
    ["no colon", "0".repeat(64)],
    ["upper-case hex", `sha256:${"A".repeat(64)}`],
    ["an upper-case algorithm", `SHA256:${"a".repeat(64)}`],
    ["63 digits", `sha256:${"a".repeat(63)}`],
    ["65 digits", `sha256:${"a".repeat(65)}`],
    ["a NUL inside", `sha256:${"a".repeat(63)}\0`],
    ["a NUL behind", `sha256:${"a".repeat(64)}\0`],
    ["a line break behind", `sha256:${"a".repeat(64)}\n`],
    ["md5", `md5:${"a".repeat(32)}`],
    ["an algorithm with an encoding", `sha512+b64:${"a".repeat(88)}`],
    ["a megabyte of digits", `sha256:${"a".repeat(1 << 20)}`],
    ["a slash among the digits", `sha256:${"a".repeat(31)}/${"a".repeat(32)}`],
    ["the name of a method as algorithm", "constructor:aaaa"],
    ["the prototype as algorithm", "__proto__:aaaa"],
    ["a number", 5],
    ["null", null],
    ["a list with a digest", [`sha256:${"a".repeat(64)}`]],
    ["an object that becomes a digest as text", { toString: () => `sha256:${"a".repeat(64)}` }],
    ["digits of another script", `sha256:${"٠".repeat(64)}`],
    ["a space before", ` sha256:${"a".repeat(64)}`],
    ["sha256 with the digits of sha512", `sha256:${"a".repeat(128)}`],
    ["sha512 with the digits of sha256", `sha512:${"a".repeat(64)}`],
  ],
);

const read = (bytes: Buffer): unknown => parseManifestOrIndex(bytes);
const invalid = { code: "INVALID_ARGUMENT", reason: "manifest-invalid" } as const;

const ambiguousCases: readonly GateCase[] = [
  ...refusals<unknown>({ group: "O-amb", run: (value) => read(json(value)), ...invalid }, [
    ["layers and manifests", { ...manifest, ...index }],
    ["config and manifests", { ...index, config }],
    ["fsLayers beside layers", { ...manifest, fsLayers: [] }],
    ["an index that says it is a manifest", { ...index, mediaType: manifestType }],
    ["a manifest that says it is an index", { ...manifest, mediaType: indexType }],
    ["a manifest that says it is a layer", { ...manifest, mediaType: layerType }],
    ["a media type that is a number", { ...manifest, mediaType: 5 }],
    ["a media type in upper case", { ...manifest, mediaType: manifestType.toUpperCase() }],
    ["schemaVersion 1", { ...manifest, schemaVersion: 1 }],
    ["schemaVersion as text", { ...manifest, schemaVersion: "2" }],
    ["no schemaVersion", { ...manifest, schemaVersion: undefined }],
    ["schemaVersion 2.5", { ...manifest, schemaVersion: 2.5 }],
    ["Layers, which Go takes for layers", { ...manifest, Layers: [] }],
    ["MANIFESTS beside layers", { ...manifest, MANIFESTS: [] }],
    ["Config beside config", { ...manifest, Config: config }],
    ["ſchemaVersion, which Go takes for schemaVersion", { ...manifest, ſchemaVersion: 1 }],
  ]),
  ...refusals<Buffer>({ group: "O-amb", run: read, code: "INVALID_ARGUMENT", reason: "json-duplicate-key" }, [
    ["layers twice", text(`{"schemaVersion":2,"layers":[],"layers":[]}`)],
    ["mediaType twice", text(`{"mediaType":"a","schemaVersion":2,"mediaType":"b"}`)],
    ["a key twice, once escaped", text(`{"layers":[],"schemaVersion":2,"l\\u0061yers":[]}`)],
    ["a digest twice in a descriptor", text(`{"config":{"digest":"a","digest":"b"}}`)],
    ["__proto__ twice", text(`{"__proto__":1,"__proto__":2}`)],
  ]),
  ...refusals<string>(
    {
      group: "O-amb",
      run: (contentType) => parseManifestOrIndex(json(manifest), { contentType }),
      ...invalid,
    },
    [
      ["a manifest sent as an index", indexType],
      ["a manifest sent as Docker's", "application/vnd.docker.distribution.manifest.v2+json"],
      ["a manifest sent as an index with parameters", `${indexType}; charset=utf-8`],
      ["a manifest sent as an INDEX", indexType.toUpperCase()],
    ],
  ),
  ...answers<string | undefined>(
    "O-amb",
    (contentType) => parseManifestOrIndex(json(manifest), { contentType }).kind,
    [
      ["a manifest sent without a type", undefined, "manifest"],
      ["a manifest sent as JSON", "application/json", "manifest"],
      ["a manifest sent with an empty type", "", "manifest"],
      ["a manifest sent with a type of a megabyte", "x".repeat(1 << 20), "manifest"],
    ],
  ),
];

const descriptor = (changes: object): unknown => ({ ...manifest, layers: [{ ...layer, ...changes }] });

const documentCases: readonly GateCase[] = [
  ...refusals<unknown>({ group: "O-man", run: (value) => read(json(value)), ...invalid }, [
    ["null", null],
    ["a list", [manifest]],
    ["a text", "manifest"],
    ["layers that are an object", { ...manifest, layers: {} }],
    ["layers that are null", { ...manifest, layers: null }],
    ["no config", { ...manifest, config: undefined }],
    ["a config that is a list", { ...manifest, config: [] }],
    ["a layer that is null", { ...manifest, layers: [null] }],
    ["a layer that is a digest", { ...manifest, layers: [digest] }],
    ["501 layers", { ...manifest, layers: Array(501).fill(layer) }],
    ["100,000 layers that are numbers", { ...manifest, layers: Array(100_000).fill(0) }],
    ["a size of -1", descriptor({ size: -1 })],
    ["a size of 1.5", descriptor({ size: 1.5 })],
    ["a size of 2^53", descriptor({ size: 2 ** 53 })],
    ["a size as text", descriptor({ size: "100" })],
    ["a size of null", descriptor({ size: null })],
    ["no size", descriptor({ size: undefined })],
    ["no media type", descriptor({ mediaType: undefined })],
    ["annotations that are a list", { ...manifest, annotations: ["a"] }],
    ["an annotation that is a number", { ...manifest, annotations: { a: 1 } }],
    ["an annotation of a layer that is an object", descriptor({ annotations: { a: {} } })],
    ["Digest beside digest in a layer", descriptor({ Digest: digest })],
    ["SIZE beside size in a layer", descriptor({ SIZE: 0 })],
    ["mediatype in place of mediaType", descriptor({ mediatype: layerType })],
    ["digeſt beside digest in a layer", descriptor({ digeſt: digest })],
    [
      "OS beside os in a platform",
      { ...index, manifests: [{ ...index.manifests[0], platform: { os: "linux", OS: "windows" } }] },
    ],
    ["manifests that are null", { ...index, manifests: null }],
    ["10,001 manifests", { ...index, manifests: Array(10_001).fill(0) }],
    ["a platform that is a text", { ...index, manifests: [{ ...index.manifests[0], platform: "linux" }] }],
  ]),
  ...refusals<unknown>(
    { group: "O-man", run: (value) => read(json(value)), code: "INVALID_ARGUMENT", reason: "digest-invalid" },
    [
      ["a layer's digest that leads up", descriptor({ digest: "sha256:../../x" })],
      ["no digest", descriptor({ digest: undefined })],
      ["a digest of md5", descriptor({ digest: `md5:${"a".repeat(32)}` })],
    ],
  ),
  ...refusals<Buffer>({ group: "O-man", run: read, code: "INVALID_ARGUMENT", reason: "json-invalid" }, [
    ["no bytes", Buffer.alloc(0)],
    ["spaces", text("   ")],
    ["a byte order mark", text("\uFEFF{}")],
    ["text behind the document", text(`${JSON.stringify(manifest)}x`)],
    ["two documents", text(`${JSON.stringify(manifest)}{}`)],
    ["bytes that are no UTF-8", Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d])],
    ["UTF-16", Buffer.from(JSON.stringify(manifest), "utf16le")],
    ["an unfinished text", text(`{"schemaVersion":2,"layers`)],
    ["a trailing comma", text(`{"schemaVersion":2,}`)],
    ["a comment", text(`{/* */"schemaVersion":2}`)],
    ["NaN", text(`{"schemaVersion":NaN}`)],
    ["a number with a leading zero", text(`{"schemaVersion":02}`)],
    ["a web page", text("<html></html>")],
    ["gzip", Buffer.from("1f8b0800", "hex")],
    ["a line break in a text", text(`{"schemaVersion":2,"mediaType":"a\nb"}`)],
  ]),
  ...refusals<Buffer>({ group: "O-man", run: read, code: "RESOURCE_EXHAUSTED", reason: "json-too-deep" }, [
    ["100,000 lists in each other", text("[".repeat(100_000))],
    ["100,000 objects in each other", text(`{"a":`.repeat(100_000))],
  ]),
  ...refusals<Buffer>({ group: "O-man", run: read, code: "RESOURCE_EXHAUSTED", reason: "json-too-large" }, [
    ["4 MiB and a byte", Buffer.alloc((4 << 20) + 1, 0x20)],
    ["64 MiB", Buffer.alloc(64 << 20, 0x5b)],
  ]),
  ...refusals<Buffer>({ group: "O-man", run: parseManifest, ...invalid }, [
    ["an index where a manifest is wanted", json(index)],
  ]),
  ...refusals<Buffer>(
    { group: "O-man", run: parseIndex, code: "INVALID_ARGUMENT", reason: "index-invalid" },
    [["a manifest where an index is wanted", json(manifest)]],
  ),
  ...answers<unknown>("O-man", (value) => parseManifest(json(value)).layers.length, [
    ["no layers", { ...manifest, layers: [] }, 0],
    ["500 times the same layer", { ...manifest, layers: Array(500).fill(layer) }, 500],
    [
      "addresses of files and of metadata services",
      descriptor({ urls: ["file:///etc/shadow", "http://169.254.169.254/"] }),
      1,
    ],
    ["data that is not the digest's", descriptor({ data: Buffer.from("other").toString("base64") }), 1],
    ["a key __proto__", JSON.parse(`{"__proto__":{"layers":[]},${JSON.stringify(manifest).slice(1)}`), 1],
    ["an artifact type", { ...manifest, artifactType: "application/x-evil" }, 1],
    ["a subject", { ...manifest, subject: { ...config, digest } }, 1],
    ["a size of 0", descriptor({ size: 0 }), 1],
  ]),
];

const machine = { os: "linux", architecture: "amd64" };
const entry = (platform: object | undefined, mediaType = manifestType): object => ({
  ...config,
  mediaType,
  ...(platform === undefined ? {} : { platform }),
});
const select = (manifests: readonly object[]): string =>
  selectPlatform(parseIndex(json({ ...index, manifests })), machine).mediaType;

const platformCases: readonly GateCase[] = [
  ...refusals<readonly object[]>(
    { group: "O-plat", run: select, code: "NOT_FOUND", reason: "platform-missing" },
    [
      ["no manifests", []],
      ["an attestation only", [entry({ os: "unknown", architecture: "unknown" })]],
      ["another system", [entry({ os: "windows", architecture: "amd64" })]],
      ["another architecture", [entry({ os: "linux", architecture: "s390x" })]],
      ["a name of a method as architecture", [entry({ os: "linux", architecture: "constructor" })]],
      ["only layers", [entry(machine, layerType)]],
      ["two without a platform", [entry(undefined), entry(undefined)]],
      ["a newer processor only", [entry({ ...machine, variant: "v4" })]],
    ],
  ),
  ...answers<readonly object[]>("O-plat", select, [
    ["the architecture in upper case", [entry({ os: "Linux", architecture: "AMD64" })], manifestType],
    ["another name for it", [entry({ os: "linux", architecture: "x86_64" })], manifestType],
    ["the one without a platform", [entry(undefined)], manifestType],
    [
      "5000 of others before it",
      [...Array(5000).fill(entry({ os: "a", architecture: "b" })), entry(machine)],
      manifestType,
    ],
  ]),
];

const rootfs = { type: "layers", diff_ids: [digest] };
const image = { ...machine, rootfs };
const badConfig = { code: "INVALID_ARGUMENT", reason: "image-config-invalid" } as const;

const configCases: readonly GateCase[] = [
  ...refusals<unknown>({ group: "O-conf", run: (value) => parseImageConfig(json(value)), ...badConfig }, [
    ["no rootfs", machine],
    ["a rootfs that is a list", { ...machine, rootfs: [] }],
    ["a rootfs of another type", { ...machine, rootfs: { ...rootfs, type: "files" } }],
    ["diff ids that are a text", { ...machine, rootfs: { ...rootfs, diff_ids: digest } }],
    ["501 diff ids", { ...machine, rootfs: { ...rootfs, diff_ids: Array(501).fill(digest) } }],
    ["an architecture that is a number", { ...image, architecture: 5 }],
    ["Diff_ids beside diff_ids", { ...machine, rootfs: { ...rootfs, Diff_ids: [] } }],
    ["RootFS beside rootfs", { ...image, RootFS: rootfs }],
    ["a list", [image]],
  ]),
  ...refusals<unknown>(
    {
      group: "O-conf",
      run: (value) => parseImageConfig(json(value)),
      code: "INVALID_ARGUMENT",
      reason: "digest-invalid",
    },
    [
      ["a diff id that leads up", { ...machine, rootfs: { ...rootfs, diff_ids: ["../../x"] } }],
      ["a diff id that is null", { ...machine, rootfs: { ...rootfs, diff_ids: [null] } }],
      ["a diff id in upper case", { ...machine, rootfs: { ...rootfs, diff_ids: [digest.toUpperCase()] } }],
    ],
  ),
  ...refusals<number>(
    {
      group: "O-conf",
      run: (count) =>
        imageLayers(
          parseManifest(json(manifest)),
          parseImageConfig(json({ ...image, rootfs: { ...rootfs, diff_ids: Array(count).fill(digest) } })),
        ),
      code: "INVALID_ARGUMENT",
      reason: "diff-ids-mismatch",
    },
    [
      ["no diff ids for a layer", 0],
      ["two diff ids for a layer", 2],
      ["500 diff ids for a layer", 500],
    ],
  ),
  ...refusals<Buffer>(
    { group: "O-conf", run: parseImageConfig, code: "RESOURCE_EXHAUSTED", reason: "json-too-large" },
    [["16 MiB and a byte", Buffer.alloc((16 << 20) + 1, 0x20)]],
  ),
];

const referenceCases: readonly GateCase[] = [
  ...refusals<string>(
    { group: "O-ref", run: parseReference, code: "INVALID_ARGUMENT", reason: "reference-invalid" },
    [
      ["an empty text", ""],
      ["a text of 5000 characters", "a".repeat(5000)],
      ["a name of 300 characters", `example.org/${"a".repeat(300)}`],
      ["a path that leads up", "example.org/../etc"],
      ["a repository that leads up at its end", "example.org/a/.."],
      ["two slashes", "example.org//a"],
      ["a slash before", "/a"],
      ["a slash behind", "example.org/a/"],
      ["a port of 99999", "example.org:99999/a"],
      ["a port of 0", "example.org:0/a"],
      ["a port that is no number", "example.org:5x/a"],
      ["a user before the host", "user@example.org/a"],
      ["a password before the host", "user:secret@example.org/a"],
      ["a scheme", "https://example.org/a"],
      ["a query", "example.org/a?x=1"],
      ["an anchor", "example.org/a#x"],
      ["a host of another script", "exämple.org/a"],
      ["a text that reads backwards", "example.org/a\u202Eb"],
      ["a space", "example.org/a b"],
      ["a line break", "example.org/a\n"],
      ["a NUL", "example.org/a\0"],
      ["upper case in the repository", "example.org/A"],
      ["a tag of 129 characters", `a:${"t".repeat(129)}`],
      ["an empty tag", "a:"],
      ["a tag with a slash", "a:b/c"],
      ["a tag that begins with a dot", "a:.b"],
      ["two tags", "a:b:c"],
      ["an empty digest", "a@"],
      ["a digest that leads up", "a@sha256:../../x"],
      ["two digests", `a@${digest}@${digest}`],
      ["a bare image id", "a".repeat(64)],
      ["an unfinished address", "[::1/a"],
      ["an address with a zone", "[fe80::1%eth0]/a"],
      ["shell commands", "a;rm -rf /"],
      ["a dollar", "$(id)"],
      ["a backslash", "example.org\\a"],
      ["a percent escape", "example.org/%2e%2e/a"],
      ["three underscores", "example.org/a___b"],
    ],
  ),
  ...answers<string>("O-ref", (value) => parseReference(value).toString(), [
    ["a tag and a digest", `a:b@${digest}`, `docker.io/library/a:b@${digest}`],
    ["an address of IPv6", "[::1]:5000/a", "[::1]:5000/a:latest"],
    ["Docker Hub by its old name", "index.docker.io/a", "docker.io/library/a:latest"],
    ["a host in upper case", "EXAMPLE.org/a", "EXAMPLE.org/a:latest"],
  ]),
];

const sociConfig = { ...config, mediaType: "application/vnd.amazon.soci.index.v2+json" };
const sociIndexCases: readonly GateCase[] = [
  ...refusals<unknown>(
    {
      group: "O-soci",
      run: (value) => parseSociIndex(json(value)),
      code: "INVALID_ARGUMENT",
      reason: "soci-index-invalid",
    },
    [
      ["the manifest of an image", manifest],
      [
        "a version that does not exist",
        { ...manifest, config: { ...config, mediaType: "application/vnd.amazon.soci.index.v9+json" } },
      ],
    ],
  ),
  ...refusals<unknown>(
    {
      group: "O-soci",
      run: (value) => parseSociIndex(json(value)),
      code: "INVALID_ARGUMENT",
      reason: "digest-invalid",
    },
    [
      [
        "a zTOC without its layer",
        { ...manifest, config: sociConfig, layers: [{ ...layer, mediaType: "application/octet-stream" }] },
      ],
    ],
  ),
];

/** Documents of images, and the names in them. */
export const ociCases: readonly GateCase[] = [
  ...digestCases,
  ...ambiguousCases,
  ...documentCases,
  ...platformCases,
  ...configCases,
  ...referenceCases,
  ...sociIndexCases,
];
