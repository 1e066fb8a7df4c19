/** One parser of bytes that come from elsewhere; test/fuzz/targets/<name>.ts calls it. */
export interface TargetFacts {
  /** Whose bytes they are. */
  readonly from: "registry" | "disk" | "operator" | "program" | "client";
  /** It gives a promise. */
  readonly isLate?: true;
  /** Longest input that is made. */
  readonly bytesMax?: number;
}

const late = { isLate: true } as const;

/** All of them: scripts/fuzz.ts and targets.test.ts run what stands here. */
export const targets: Readonly<Record<string, TargetFacts>> = {
  accounts: { from: "registry" },
  "bench-report": { from: "disk" },
  bitmap: { from: "disk" },
  "cdi-spec": { from: "operator" },
  cni: { from: "operator" },
  "cni-result": { from: "program" },
  "containerd-config": { from: "operator" },
  "daemon-config": { from: "operator" },
  der: { from: "registry" },
  "docker-config": { from: "operator" },
  encryption: { from: "registry" },
  erofs: { from: "disk", bytesMax: 16_384 },
  "estargz-blob": { from: "registry", ...late },
  "estargz-footer": { from: "registry", bytesMax: 128 },
  "estargz-toc": { from: "registry", ...late },
  "estargz-toc-tar": { from: "registry" },
  filters: { from: "client" },
  "fine-manifest": { from: "registry" },
  "fine-table": { from: "registry", ...late, bytesMax: 16_384 },
  "gzip-zinfo": { from: "registry", bytesMax: 65_536 },
  "hosts-toml": { from: "operator" },
  "image-archive": { from: "client", ...late, bytesMax: 16_384 },
  json: { from: "registry" },
  "layer-record": { from: "disk" },
  multipart: { from: "registry", ...late },
  "node-texts": { from: "client" },
  "nri-mux": { from: "program", ...late },
  "oci-config": { from: "registry" },
  "oci-manifest": { from: "registry" },
  "oci-reference": { from: "client" },
  profile: { from: "registry" },
  "profile-artifact": { from: "registry" },
  "registry-headers": { from: "registry" },
  "seccomp-profile": { from: "operator" },
  "shim-answer": { from: "program" },
  "soci-index": { from: "registry" },
  "soci-prefetch": { from: "registry" },
  spdy: { from: "client", ...late },
  sums: { from: "disk" },
  tar: { from: "registry", ...late, bytesMax: 16_384 },
  "tar-headers": { from: "registry", bytesMax: 16_384 },
  "tar-pax": { from: "registry" },
  "tar-split": { from: "registry" },
  "tar-zinfo": { from: "registry" },
  trace: { from: "disk" },
  "ttrpc-frames": { from: "program" },
  "unit-table": { from: "disk" },
  websocket: { from: "client", ...late },
  "zstdchunked-annotations": { from: "registry" },
  "zstdchunked-footer": { from: "registry", bytesMax: 128 },
  "zstdchunked-toc": { from: "registry", ...late },
  ztoc: { from: "registry", ...late, bytesMax: 98_304 },
};

const BYTES_MAX = 4096;

export function bytesMaxOf(name: string): number {
  return targets[name]?.bytesMax ?? BYTES_MAX;
}
