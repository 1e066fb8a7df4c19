import type { OpenLayerEngine } from "../layer/index.js";
import type { LadderStep } from "../services/index.js";

/** The ways to mount a layer on this machine, the best first. */
export function ladderOf({ rung }: OpenLayerEngine): readonly LadderStep[] {
  const isErofs = rung.kind === "erofs";
  return [
    {
      name: "erofs",
      usable: isErofs,
      chosen: isErofs,
      detail: isErofs ? "EROFS metadata in the kernel, data over the node's one FUSE mount" : rung.why,
    },
    {
      name: "fuse-tree",
      usable: true,
      chosen: !isErofs,
      detail: "A FUSE mount a layer",
    },
  ];
}
