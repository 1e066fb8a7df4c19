import type { ConversionRequest } from "./converted.js";

/** Every way in which a layer's bytes can be made. */
export const conversionVariants: Readonly<Record<string, ConversionRequest["layers"]>> = {
  estargz: { format: "estargz", chunkSizeBytes: 65_536 },
  shared: { format: "estargz", streamSizeMinBytes: 50_000 },
  prioritized: { format: "estargz", prioritized: ["etc/passwd", "hard/two", "data/large", "nowhere"] },
  external: { format: "estargz", isTocExternal: true },
  zstdchunked: { format: "zstdchunked" },
  "zstdchunked-prioritized": { format: "zstdchunked", prioritized: ["perms/capable"] },
  containers: { format: "zstdchunked", dialect: "containers" },
  uncompressed: { format: "uncompressed" },
};
