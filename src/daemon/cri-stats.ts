import { CRI_NAMESPACE, criStats, idleLayers, SnapshotUsages } from "../cri/index.js";
import type { CriBase } from "./cri-base.js";
import { findSnapshotter } from "./find-snapshotter.js";

const CGROUP_FOLDER = "/sys/fs/cgroup";

/** What containers and snapshots use, collected from now on. */
export function startStats({ options, store, images, now }: CriBase) {
  const { config } = options;
  const measured = options.served.map(({ name, isLazy, plugin }) => ({
    name,
    isLazy,
    idle: isLazy ? async () => await idleLayers(options) : undefined,
    folder: plugin.exports["root"] ?? config.root,
    snapshotter: findSnapshotter(options.snapshotters, name).for({
      namespace: CRI_NAMESPACE,
      lease: undefined,
    }),
  }));
  const usages = new SnapshotUsages({ snapshotters: measured, now });
  const stats = criStats({
    pods: store.pods,
    containers: store.containers,
    tasks: options.tasks,
    usages,
    snapshotterOf: (handler) => images.snapshotterOf(handler),
    cgroupRoot: CGROUP_FOLDER,
    collectPeriodMs: config.criImages.statsCollectPeriodSeconds * 1000,
    now,
  });
  return { usages, stats };
}
