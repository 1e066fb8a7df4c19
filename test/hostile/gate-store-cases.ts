import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sha256 } from "../../src/bytes/index.js";
import { parseBandwidth } from "../../src/cri/pod-quantity.js";
import { requireLabels } from "../../src/metadata/checks.js";
import { requireIdentifier } from "../../src/metadata/index.js";
import { requireKey } from "../../src/metadata/key.js";
import { parseArtifact } from "../../src/profiles/artifact.js";
import { decodeProfile } from "../../src/profiles/profile-document.js";
import { Registry } from "../../src/registry/index.js";
import { parsePrefetch } from "../../src/soci/prefetch.js";
import { decodeTrace } from "../../src/traces/trace-json.js";
import { dockerArchiveSource } from "../../src/transfer/docker-archive.js";
import { archiveSource, parseImageLocation } from "../../src/transfer/index.js";
import { type Behaviour, startRegistry } from "../../testing/registry/index.js";
import { type RawEntry, rawTar } from "../../testing/tar/index.js";
import { answers, type GateCase, json, refusals } from "./gate-case.js";

const digest = sha256(Buffer.from("layer"));

async function withArchive(tar: Buffer, use: (path: string) => Promise<unknown>): Promise<unknown> {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-gate-"));
  try {
    const path = join(folder, "image.tar");
    await writeFile(path, tar);
    return await use(path);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const config = json({ os: "linux", architecture: "amd64", rootfs: { type: "layers", diff_ids: [digest] } });
const saved = (manifest: unknown, ...more: RawEntry[]): Buffer =>
  rawTar(
    { name: "manifest.json", content: json(manifest) },
    { name: "config.json", content: config },
    ...more,
  );
const image = { Config: "config.json", RepoTags: ["a:1"], Layers: ["layer.tar"] };
const plain: RawEntry = { name: "layer.tar", content: rawTar({ name: "a", content: "b" }) };

const docker = (tar: Buffer): Promise<unknown> =>
  withArchive(tar, async (path) => {
    await using source = await dockerArchiveSource(path, undefined);
    return source.description.replace(path, "");
  });
const layout = (tar: Buffer): Promise<unknown> =>
  withArchive(tar, async (path) => {
    await using source = await archiveSource(path, undefined);
    return (await source.root({})).digest;
  });
const index = (manifests: readonly object[]): Buffer => json({ schemaVersion: 2, manifests });
const manifestType = "application/vnd.oci.image.manifest.v1+json";

const archiveCases: readonly GateCase[] = [
  ...refusals<Buffer>({ group: "O-arch", run: docker, code: "INVALID_ARGUMENT", reason: "archive-invalid" }, [
    ["a manifest.json that is an object", saved(image, plain)],
    ["an image of null", saved([null], plain)],
    ["a config that is a number", saved([{ ...image, Config: 5 }], plain)],
    ["layers that are a text", saved([{ ...image, Layers: "layer.tar" }], plain)],
    ["a layer that is a number", saved([{ ...image, Layers: [5] }], plain)],
    ["two layers for one diff id", saved([{ ...image, Layers: ["layer.tar", "layer.tar"] }], plain)],
    ["no layers for one diff id", saved([{ ...image, Layers: [] }], plain)],
  ]),
  ...refusals<Buffer>({ group: "O-arch", run: docker, code: "DATA_LOSS", reason: "blob-missing" }, [
    ["a layer that is not there", saved([image])],
    ["a config that is not there", saved([{ ...image, Config: "other.json" }], plain)],
    ["a config that leads out", saved([{ ...image, Config: "../../etc/passwd" }], plain)],
    [
      "a layer that is a link out of the archive",
      saved([image], { name: "layer.tar", type: "2", link: "/etc/passwd" }),
    ],
    ["a layer that is a link up", saved([image], { name: "layer.tar", type: "2", link: "../../etc/passwd" })],
    ["a layer that is a link to itself", saved([image], { name: "layer.tar", type: "2", link: "layer.tar" })],
    ["a layer that is a folder", saved([image], { name: "layer.tar/", type: "5" })],
    ["a layer that is a device", saved([image], { name: "layer.tar", type: "3", major: 1, minor: 5 })],
    ["a layer that is a pipe", saved([image], { name: "layer.tar", type: "6" })],
  ]),
  ...refusals<Buffer>({ group: "O-arch", run: docker, code: "NOT_FOUND", reason: "archive-missing" }, [
    ["an archive of nothing", rawTar()],
    ["a manifest.json that leads out", rawTar({ name: "../manifest.json", content: json([image]) })],
    ["a manifest.json that is a link out", rawTar({ name: "manifest.json", type: "2", link: "/etc/passwd" })],
  ]),
  ...refusals<Buffer>({ group: "O-arch", run: docker, code: "INVALID_ARGUMENT", reason: "json-invalid" }, [
    ["a manifest.json that is no JSON", rawTar({ name: "manifest.json", content: "<html>" })],
    ["a manifest.json of nothing", rawTar({ name: "manifest.json", content: "" })],
  ]),
  ...refusals<Buffer>({ group: "O-arch", run: layout, code: "NOT_FOUND", reason: "layout-missing" }, [
    ["a layout of nothing", rawTar()],
    ["an index.json that is a folder", rawTar({ name: "index.json/", type: "5" })],
  ]),
  ...refusals<Buffer>({ group: "O-arch", run: layout, code: "NOT_FOUND", reason: "blob-missing" }, [
    [
      "a manifest that is not there",
      rawTar({ name: "index.json", content: index([{ mediaType: manifestType, digest, size: 5 }]) }),
    ],
  ]),
  ...refusals<Buffer>({ group: "O-arch", run: layout, code: "INVALID_ARGUMENT", reason: "digest-invalid" }, [
    [
      "a digest that leads out",
      rawTar({
        name: "index.json",
        content: index([{ mediaType: manifestType, digest: "sha256:../../x", size: 5 }]),
      }),
    ],
  ]),
  ...refusals<Buffer>({ group: "O-arch", run: layout, code: "DATA_LOSS", reason: "digest-mismatch" }, [
    [
      "a manifest of other bytes",
      rawTar(
        { name: "index.json", content: index([{ mediaType: manifestType, digest, size: 5 }]) },
        { name: `blobs/sha256/${digest.slice(7)}`, content: "other" },
      ),
    ],
  ]),
  ...refusals<string>(
    { group: "O-arch", run: parseImageLocation, code: "INVALID_ARGUMENT", reason: "location-invalid" },
    [
      ["a layout without a path", "oci:"],
      ["an archive with a name only", "oci-archive::name"],
    ],
  ),
];

const keyCases: readonly GateCase[] = [
  ...refusals<string>(
    {
      group: "A-key",
      run: (key) => requireKey("snapshots", ["ns", key]),
      code: "INVALID_ARGUMENT",
      reason: "metadata-key-invalid",
    },
    [
      ["a NUL", "a\0b"],
      ["a mark of the store", "\u0001"],
      ["64 KiB", "k".repeat(65_536)],
      ["1979 bytes", "k".repeat(1979)],
      ["1000 letters of two bytes", "é".repeat(1000)],
    ],
  ),
  ...refusals<string>(
    {
      group: "A-key",
      run: (name) => requireIdentifier(name),
      code: "INVALID_ARGUMENT",
      reason: "identifier-invalid",
    },
    [
      ["an empty name", ""],
      ["two dots", ".."],
      ["a slash", "a/b"],
      ["a path that leads up", "../a"],
      ["a NUL in a name", "a\0"],
      ["a line break behind", "a\n"],
      ["77 letters", "a".repeat(77)],
      ["a dash before", "-a"],
      ["a dot behind", "a."],
      ["two dashes", "a--b"],
      ["letters of another script", "аbc"],
      ["39 letters of two bytes", "é".repeat(39)],
      ["a megabyte of dots and letters", "a.".repeat(1 << 19)],
    ],
  ),
  ...refusals<Record<string, string>>(
    {
      group: "A-label",
      run: (labels) => requireLabels(labels, "image"),
      code: "INVALID_ARGUMENT",
      reason: "label-too-large",
    },
    [
      ["4097 bytes of both", { k: "v".repeat(4096) }],
      ["a key of 4097 bytes", { ["k".repeat(4097)]: "" }],
      ["2049 letters of two bytes", { k: "é".repeat(2049) }],
      [
        "a large one behind 100,000 others",
        {
          ...Object.fromEntries(Array.from({ length: 100_000 }, (_, at) => [`k${at}`, ""])),
          z: "v".repeat(4096),
        },
      ],
    ],
  ),
  ...refusals<string>(
    {
      group: "A-pod",
      run: (text) => parseBandwidth(text, "ingress"),
      code: "INVALID_ARGUMENT",
      reason: "bandwidth-invalid",
    },
    [
      ["nothing", ""],
      ["a negative number", "-1M"],
      ["too little", "1"],
      ["too much", "1E"],
      ["10^99", "1e99"],
      ["an unknown unit", "1Q"],
      ["hex", "0x10M"],
      ["a space", "1 M"],
      ["Infinity", "Infinity"],
      ["a megabyte of digits", "9".repeat(1 << 20)],
    ],
  ),
];

const prefetch = (spans: unknown, version = "1.0"): Buffer => json({ version, prefetch_spans: spans });
const advice = { code: "INVALID_ARGUMENT", reason: "soci-prefetch-invalid" } as const;
const artifact = (changes: object): Buffer =>
  json({
    schemaVersion: 2,
    artifactType: "application/vnd.example",
    config: { mediaType: "application/vnd.oci.empty.v1+json", digest, size: 2 },
    layers: [],
    ...changes,
  });
const adviceCases: readonly GateCase[] = [
  ...refusals<Buffer>({ group: "Z-pre", run: parsePrefetch, ...advice }, [
    ["a list", json([])],
    ["another version", prefetch([{ start_span: 0, end_span: 1 }], "2.0")],
    ["no ranges", prefetch([])],
    ["ranges that are an object", prefetch({})],
    ["a range of null", prefetch([null])],
    ["a range that ends before it starts", prefetch([{ start_span: 5, end_span: 4 }])],
    ["a range from -1", prefetch([{ start_span: -1, end_span: 4 }])],
    ["a range to 2^31", prefetch([{ start_span: 0, end_span: 2 ** 31 }])],
    ["a range from 1.5", prefetch([{ start_span: 1.5, end_span: 4 }])],
    ["a range of texts", prefetch([{ start_span: "0", end_span: "1" }])],
    ["a priority of text", prefetch([{ start_span: 0, end_span: 1, priority: "first" }])],
  ]),
  ...refusals<Buffer>(
    { group: "C-prof", run: decodeProfile, code: "INVALID_ARGUMENT", reason: "profile-invalid" },
    [
      ["a list", json([])],
      ["an unknown key", json({ version: 1, more: 1 })],
      ["another version", json({ version: 99 })],
      ["no layers", json({ version: 1, layers: [] })],
      ["a layer twice", json({ version: 1, layers: [digest, digest] })],
      ["no starts", json({ version: 1, layers: [digest], starts: 0 })],
    ],
  ),
  ...refusals<Buffer>(
    {
      group: "C-prof",
      run: (bytes) => parseArtifact(bytes, { subject: digest }),
      code: "INVALID_ARGUMENT",
      reason: "profile-artifact-invalid",
    },
    [
      ["an artifact of another type", artifact({ subject: { digest } })],
      ["an artifact without a type", artifact({ artifactType: 5 })],
    ],
  ),
  ...refusals<Buffer>({ group: "C-trace", run: decodeTrace, code: "DATA_LOSS", reason: "trace-damaged" }, [
    ["no JSON", Buffer.from("x")],
    ["a list", json([])],
    ["another version", json({ version: 2, layers: [] })],
    ["an id that leads up", json({ version: 1, layers: [], id: "../../x" })],
    ["layers that are a text", json({ version: 1, layers: "x" })],
  ]),
];

const referrersType = "application/vnd.oci.image.index.v1+json";
async function referrers(act: Behaviour): Promise<number> {
  const server = await startRegistry();
  const registry = new Registry({
    retry: { attempts: 1, minWaitMs: 1, maxWaitMs: 1 },
    dockerConfigPaths: [],
    hostsDirectories: [],
  });
  try {
    const headers = { "content-type": referrersType, ...act.headers };
    server.script({ path: /referrers/, act: { status: 200, ...act, headers } });
    return (await registry.referrers({ reference: `${server.host}/a/b:1`, subject: digest })).length;
  } finally {
    await registry.close();
    await server.stop();
  }
}
const referrer = { mediaType: manifestType, digest, size: 5 };
const referrerCases: readonly GateCase[] = [
  ...answers<Behaviour>("O-refs", referrers, [
    ["none", { body: index([]) }, 0],
    ["10,000", { body: index(Array(10_000).fill(referrer)) }, 10_000],
    ["404", { status: 404 }, 0],
    ["400", { status: 400 }, 0],
    ["10,001, which is no list", { body: index(Array(10_001).fill(referrer)) }, 0],
  ]),
  ...refusals<Behaviour>(
    { group: "O-refs", run: referrers, code: "INVALID_ARGUMENT", reason: "digest-invalid" },
    [["a digest that leads up", { body: index([{ ...referrer, digest: "sha256:../x" }]) }]],
  ),
  ...refusals<Behaviour>(
    { group: "O-refs", run: referrers, code: "INVALID_ARGUMENT", reason: "json-duplicate-key" },
    [["manifests twice", { body: '{"schemaVersion":2,"manifests":[],"manifests":[]}' }]],
  ),
  ...refusals<Behaviour>(
    { group: "O-refs", run: referrers, code: "RESOURCE_EXHAUSTED", reason: "too-large" },
    [["5 MiB", { body: Buffer.alloc(5 << 20, 0x20) }]],
  ),
  ...refusals<Behaviour>(
    { group: "O-refs", run: referrers, code: "INVALID_ARGUMENT", reason: "index-invalid" },
    [
      [
        "a manifest",
        {
          body: json({ schemaVersion: 2, config: referrer, layers: [] }),
          headers: { "content-type": manifestType },
        },
      ],
    ],
  ),
  ...refusals<Behaviour>(
    { group: "O-refs", run: referrers, code: "RESOURCE_EXHAUSTED", reason: "json-too-deep" },
    [["100,000 lists in each other", { body: "[".repeat(100_000) }]],
  ),
];

/** What stores, archives, artifacts and lists of them say. */
export const storeCases: readonly GateCase[] = [
  ...archiveCases,
  ...keyCases,
  ...adviceCases,
  ...referrerCases,
];
