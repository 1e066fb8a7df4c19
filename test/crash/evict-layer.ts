import { type SampleLayer, sampleFiles, sampleLayer } from "../../testing/layer/sample-layer.js";

const KIB = 1024;

/** The same in each process: 4 MiB, of which not half may be here. */
export function evictLayer(): SampleLayer {
  return sampleLayer(
    sampleFiles(
      "evicted",
      Array.from({ length: 16 }, () => 256 * KIB),
    ),
  );
}

export const EVICT_BUDGET = {
  limit: { bytes: 1536 * KIB },
  highWater: 0.9,
  lowWater: 0.6,
  pinned: [],
} as const;
