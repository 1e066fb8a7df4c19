import { join } from "node:path";
import { makePauseRootfs, PausePods, type PodRunner, ShimPods } from "../cri/index.js";
import type { CriBase } from "./cri-base.js";
import { findSnapshotter } from "./find-snapshotter.js";
import { pauseProgram } from "./pause-program.js";

/** The default of containerd's key, which here stands for our own program. */
const DEFAULT_SANDBOX_IMAGE = "registry.k8s.io/pause:3.10.2";

/** Who holds pods, by the names that a runtime's `sandboxer` has. */
export async function podRunners(base: CriBase): Promise<ReadonlyMap<string, PodRunner>> {
  const { options, folders, images, host, now } = base;
  const { config, metadata, binding, tasks } = options;
  const rootfs = join(folders.root, "pause");
  await makePauseRootfs({ folder: rootfs, program: pauseProgram() });
  const reference = config.criImages.pinnedImages["sandbox"];
  const image =
    reference === undefined || reference === DEFAULT_SANDBOX_IMAGE
      ? undefined
      : {
          reference,
          images,
          snapshotterOf: (name: string) => findSnapshotter(options.snapshotters, name),
        };
  const settings = config.criRuntime;
  const pause = new PausePods({
    metadata,
    binding,
    tasks,
    folders,
    rootfs,
    image,
    settings,
    host,
    now,
  });
  const shims = [...options.controllers].map(
    ([name, controller]) => [name, new ShimPods({ name, controller, binding, folders })] as const,
  );
  return new Map<string, PodRunner>([...shims, ["podsandbox", pause]]);
}
