import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { renderJson } from "../../src/bench/report/index.js";
import { sha256 } from "../../src/bytes/index.js";
import { defaultConfigText } from "../../src/daemon/config-text.js";
import { buildFineManifest, FINE_LAYER_ANNOTATION } from "../../src/fine/index.js";
import { encodeBitmap } from "../../src/layer/bitmap-file.js";
import { encodeRecord } from "../../src/layer/layer-record.js";
import { encodeSums } from "../../src/layer/sums-file.js";
import { encodeProfile, makeArtifact } from "../../src/profiles/index.js";
import { buildSociIndex, encodePrefetch } from "../../src/soci/index.js";
import { encodeTrace } from "../../src/traces/index.js";
import { encodeFrame } from "../../src/ttrpc/frame.js";
import { encodeUnitTable } from "../../src/units/index.js";
import { buildEstargz, type LayerEntry } from "../../testing/estargz-builder.js";
import { projectRoot } from "../../testing/rig/lab.js";
import { rawTar } from "../../testing/tar/index.js";
import { buildZstdChunked } from "../../testing/zstdchunked-builder.js";
import { tinyReport } from "../bench/sample-reports.js";
import { gzipped, plain } from "../hostile/fine-case.js";
import { linkCases, typeCases, whiteoutCases } from "../hostile/tar-link-cases.js";
import { nameCases } from "../hostile/tar-name-cases.js";
import { numberCases, paxCases, xattrCases } from "../hostile/tar-number-cases.js";
import { sparseCases } from "../hostile/tar-sparse-cases.js";
import { sampleProfile } from "../profiles/sample.js";
import { buildSoci } from "../soci/builder.js";
import { sampleTrace } from "../traces/sample-trace.js";
import { bytesMaxOf } from "./targets.js";

type Seeds = readonly (Buffer | string)[];

const entries: readonly LayerEntry[] = [
  { name: "folder/", type: "dir" },
  { name: "folder/file", type: "reg", content: "some content", xattrs: { "user.note": "v" } },
  { name: "link", type: "symlink", linkName: "folder/file" },
  { name: "again", type: "hardlink", linkName: "folder/file" },
  { name: "empty", type: "reg", content: "" },
];
const digest = sha256(Buffer.from("subject"));
const json = (value: unknown): string => JSON.stringify(value);
const zero = Buffer.alloc(32);
const descriptor = { mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", digest, size: 100 };
const manifest = {
  schemaVersion: 2,
  mediaType: "application/vnd.oci.image.manifest.v1+json",
  config: { mediaType: "application/vnd.oci.image.config.v1+json", digest, size: 2 },
  layers: [descriptor],
  annotations: { a: "b" },
};
const index = {
  schemaVersion: 2,
  mediaType: "application/vnd.oci.image.index.v1+json",
  manifests: [{ ...manifest.config, platform: { os: "linux", architecture: "arm64", variant: "v8" } }],
};
const imageConfig = {
  os: "linux",
  architecture: "amd64",
  config: {
    User: "0:0",
    Env: ["A=b"],
    Entrypoint: ["/a"],
    Cmd: ["b"],
    WorkingDir: "/",
    Volumes: { "/v": {} },
  },
  rootfs: { type: "layers", diff_ids: [digest] },
};
const table = encodeUnitTable(
  [0, 1].map((unit) => ({
    dataOffset: unit * 4096,
    dataLength: 100,
    blobOffset: unit * 60,
    blobLength: 60,
    innerOffset: 0,
    sha256: zero,
    codec: "gzip" as const,
  })),
  { dataSize: 8192, blobSize: 200, blockSize: 4096 },
).buffer;
const withoutSum = (file: Buffer): Buffer => file.subarray(0, -32);

function fineInput({ table: bytes, headers, blob }: typeof gzipped): Buffer {
  const prefix = Buffer.alloc(12);
  prefix.writeUInt32LE(headers.length);
  prefix.writeBigUInt64LE(BigInt(blob.length), 4);
  return Buffer.concat([prefix, headers, bytes]);
}

async function estargz(): Promise<Seeds> {
  const kinds = ["estargz", "legacy"] as const;
  return kinds.map((footer) => buildEstargz(entries, { footer }).blob);
}

function tars(): Seeds {
  const cases = [
    linkCases,
    typeCases,
    whiteoutCases,
    nameCases,
    numberCases,
    paxCases,
    xattrCases,
    sparseCases,
  ];
  return cases.flat().map(({ tar }) => tar);
}

const archive = (): Seeds => [
  rawTar(
    { name: "manifest.json", content: json([{ Config: "c", RepoTags: ["a:1"], Layers: ["l"] }]) },
    { name: "c", content: json(imageConfig) },
    { name: "l", content: "layer" },
  ),
  rawTar(
    { name: "oci-layout", content: '{"imageLayoutVersion":"1.0.0"}' },
    { name: "index.json", content: json({ ...index, manifests: index.manifests.slice(0, 1) }) },
    { name: `blobs/sha256/${digest.slice(7)}`, content: json(manifest) },
  ),
];

/** Valid inputs of each target, from which mutants are made. */
const makers: Readonly<Record<string, () => Promise<Seeds> | Seeds>> = {
  accounts: () => [
    "app:wheel\nroot:x:0:0:root:/root:/bin/sh\napp:x:1:2::/:/bin/sh\n--\nroot:x:0:\nwheel:x:10:app",
  ],
  "bench-report": () => [renderJson(tinyReport)],
  bitmap: () => [
    Buffer.concat([
      Buffer.of(9),
      withoutSum(encodeBitmap(Buffer.of(255, 1), { units: 9, tableSha256: zero })),
    ]),
  ],
  "cdi-spec": () => [
    `0${json({ cdiVersion: "0.6.0", kind: "v.io/c", devices: [{ name: "d", containerEdits: { env: ["A=b"] } }] })}`,
    "1cdiVersion: 0.6.0\nkind: v.io/c\ndevices:\n- name: d\n  containerEdits:\n    deviceNodes: [{path: /dev/d}]\n",
  ],
  cni: () => [
    json({ cniVersion: "1.0.0", name: "net", plugins: [{ type: "bridge", capabilities: { a: true } }] }),
  ],
  "cni-result": () => [
    json({
      cniVersion: "1.0.0",
      interfaces: [{ name: "eth0", mac: "a" }],
      ips: [{ address: "10.0.0.1/8", interface: 0 }],
    }),
  ],
  "containerd-config": () => [
    'version = 2\n[plugins."io.containerd.grpc.v1.cri".containerd]\nsnapshotter = "overlayfs"\n[proxy_plugins.a]\ntype = "snapshot"\n',
  ],
  "daemon-config": () => [
    defaultConfigText().slice(0, 3000),
    'root = "/a"\n[registry]\nconfig_path = ["/b"]\n',
  ],
  der: async () => [Buffer.from("3012060a2a864886f70d010703a0043002a000", "hex")],
  "docker-config": () => [
    json({ auths: { "a.example": { auth: "dTpw" } }, credHelpers: { b: "c" }, credsStore: "d" }),
  ],
  encryption: () => [
    `${Buffer.from(json({ protected: "e30", ciphertext: "a", recipients: [{}] })).toString("base64")}\nMAA=\ne30=`,
  ],
  erofs: async () => [
    await readFile(join(projectRoot, "native", "test", "sample-512.erofs")),
    await readFile(join(projectRoot, "native", "test", "sample-4096.erofs")),
  ],
  "estargz-blob": estargz,
  "estargz-footer": async () =>
    (await estargz()).map((blob) => Buffer.concat([Buffer.of(0), (blob as Buffer).subarray(-60)])),
  "estargz-toc": () => [buildEstargz(entries).tocJson],
  "estargz-toc-tar": () => [rawTar({ name: "stargz.index.json", content: "{}" })],
  filters: () => ['name==value,labels."a b"!=c\nid~=^a.*b$\nname'],
  "fine-manifest": () => [
    buildFineManifest({
      layers: [{ layer: digest, table: { digest, size: 5 }, windows: { digest, size: 6 } }],
      subject: { digest, size: 7, mediaType: manifest.mediaType },
    }).bytes,
    json({ ...manifest, annotations: { [FINE_LAYER_ANNOTATION]: digest } }),
  ],
  "fine-table": () => [fineInput(gzipped), fineInput(plain)],
  "gzip-zinfo": () => [buildSoci([{ name: "a", type: "reg", content: "b" }]).zinfo],
  "hosts-toml": () => [
    'server = "https://a.example"\n[host."https://b.example/v2"]\ncapabilities = ["pull"]\nskip_verify = true\n[host."https://b.example/v2".header]\nx = ["y"]\n',
  ],
  "image-archive": archive,
  json: () => ['{"a":[1,-2.5e3,true,null,"\\u00e9\\n"],"__proto__":{}}'],
  "layer-record": () => [
    encodeRecord({
      number: 1,
      digest,
      format: "soci",
      mediaType: descriptor.mediaType,
      indexDigest: digest,
      diffId: digest,
      blobSize: 5,
      isDecoded: false,
      origin: { reference: "a.example/b:c", size: 5 },
      prefetch: { kind: "units", ranges: [{ first: 0, last: 1 }] },
      rootOwner: { uid: 0, gid: 0 },
      metaSha256: digest,
    }),
  ],
  multipart: () => ["\x40--b\r\nContent-Range: bytes 0-7/8\r\n\r\n12345678\r\n--b--"],
  "node-texts": () => [
    `\0${digest}`,
    "\x011h2m3.5s",
    "\x022026-11-21T10:00:00.5+01:00",
    "\x032026-11-21T10:00:00Z",
    "\x0436 35 98:0 / /a\\040b rw,noatime master:1 - ext3 /dev/root rw",
    "\x05provider:/a:pass=b",
    "\x06oci-archive:/a:b",
    "\x07v.io/c=d,v.io/c=e",
  ],
  "nri-mux": () => [Buffer.from("40000000010000000461626364000000020000000161", "hex")],
  "oci-config": () => [json(imageConfig)],
  "oci-manifest": () => [json(manifest), json(index)],
  "oci-reference": () => [`localhost:5000/a/b_c:t-1@${digest}`, "docker.io/library/a"],
  profile: () => [encodeProfile(sampleProfile())],
  "profile-artifact": () => [
    makeArtifact(sampleProfile(), { mediaType: manifest.mediaType, digest, size: 5 }).manifest.bytes,
  ],
  "registry-headers": () => [
    'Bearer realm="https://a.example/t?x=\\"y\\"",service="s",scope="repository:a:pull", Basic realm=b',
    "bytes 100-149/1000",
    'multipart/byteranges; boundary="b"',
    "Fri, 21 Nov 2026 10:00:00 GMT",
    "120",
    "1h2.5ms",
  ],
  "seccomp-profile": () => [
    json({
      defaultAction: "SCMP_ACT_ERRNO",
      architectures: ["SCMP_ARCH_X86_64"],
      syscalls: [
        { names: ["a"], action: "SCMP_ACT_ALLOW", args: [{ index: 0, value: 1, op: "SCMP_CMP_EQ" }] },
      ],
    }),
  ],
  "shim-answer": () => [
    '{"version":3,"address":"unix:///a","protocol":"ttrpc"}',
    "unix:///a\n",
    "\x08\x03\x12\x0aunix:///ab\x1a\x05ttrpc",
  ],
  "soci-index": () => [
    buildSociIndex({
      version: 1,
      subject: { mediaType: manifest.mediaType, digest, size: 5 },
      buildTool: "a",
      ztocs: [
        {
          digest,
          size: 5,
          layerDigest: digest,
          layerMediaType: descriptor.mediaType,
          spanSize: 65_536,
          disablesXattrs: false,
        },
      ],
      prefetches: [{ digest, size: 5, layerDigest: digest }],
    }).bytes,
  ],
  "soci-prefetch": () => [encodePrefetch([{ first: 0, last: 5, priority: 1 }])],
  spdy: () => [
    Buffer.concat([
      Buffer.of(64),
      Buffer.from("8003000600000004000000ff", "hex"),
      Buffer.from("000000010100000261620000", "hex"),
    ]),
  ],
  sums: () => [
    Buffer.concat([
      Buffer.of(2),
      withoutSum(encodeSums(Buffer.alloc(64, 1), { units: 2, tableSha256: zero })),
    ]),
  ],
  tar: tars,
  "tar-headers": () => [gzipped.headers, plain.headers],
  "tar-pax": () => [
    "30 mtime=1432668921.098285006\n18 path=some/name\n",
    "22 GNU.sparse.size=100\n23 GNU.sparse.map=0,1,5,2\n26 GNU.sparse.numblocks=2\n",
  ],
  "tar-split": async () => [(await buildZstdChunked(entries, { dialect: "containers" })).tarSplitLines ?? ""],
  "tar-zinfo": () => [
    buildSoci([{ name: "a", type: "reg", content: "b" }], { algorithm: "uncompressed" }).zinfo,
  ],
  trace: () => [encodeTrace(sampleTrace())],
  "ttrpc-frames": () => [
    Buffer.concat([Buffer.of(5), encodeFrame({ streamId: 1, type: 1, body: Buffer.from("abc") })]),
  ],
  "unit-table": () => [withoutSum(table)],
  websocket: () => [
    '\0\x04{"Width":80,"Height":24}\n\0abc',
    '\x01\x04{"Width":1,"Height":2}\n\xff\x04',
    "\x024eyJXaWR0aCI6MX0=\n",
  ],
  "zstdchunked-annotations": () => [`${digest}\n${digest}\n100:50:200:1\n${digest}\n150:10:20`],
  "zstdchunked-footer": async () => {
    const dialects = ["stargz", "containers"] as const;
    const layers = await Promise.all(dialects.map((dialect) => buildZstdChunked(entries, { dialect })));
    return layers.map(({ blob }) => Buffer.concat([Buffer.of(0), blob.subarray(-72)]));
  },
  "zstdchunked-toc": async () => [json((await buildZstdChunked(entries, { dialect: "containers" })).toc)],
  ztoc: () => [
    buildSoci(entries, { algorithm: "uncompressed" }).ztoc,
    buildSoci(entries).ztoc,
    buildSoci(entries, { zinfoVersion: 1 }).ztoc,
  ],
};

/** Those of a target that are no longer than its inputs may be. */
export async function seedsOf(target: string): Promise<readonly Buffer[]> {
  const seeds = (await makers[target]?.()) ?? [];
  return seeds
    .map((seed) => (Buffer.isBuffer(seed) ? seed : Buffer.from(seed, "latin1")))
    .filter(({ length }) => length <= bytesMaxOf(target));
}
