import { unavailable } from "../errors/index.js";
import type { NativeBinding } from "../fuse/index.js";
import type { LeaseTable } from "../metadata/index.js";
import type { Nri } from "../nri/index.js";
import type { CriEvents, PodContainers, RuntimeHandlers } from "./contract.js";
import type { CriFolders } from "./pod-folders.js";
import type { PodNetworks } from "./pod-network.js";
import type { PodRunner } from "./podsandbox-runner.js";
import type { CriStore } from "./store.js";

/** What pods are made with. */
export interface PodParts {
  readonly store: CriStore;
  readonly leases: LeaseTable;
  readonly binding: Pick<NativeBinding, "mount" | "umount" | "mounts">;
  readonly handlers: RuntimeHandlers;
  readonly networks: Pick<PodNetworks, "newNetns" | "pin" | "unpin" | "add" | "remove" | "collect">;
  readonly folders: CriFolders;
  readonly containers: PodContainers;
  readonly events: CriEvents;
  readonly nri: Nri | undefined;
  /** By the name of a sandboxer. @throws UNAVAILABLE `sandboxer-missing` */
  readonly runnerOf: (sandboxer: string) => PodRunner;
  /** Nanoseconds since 1970. */
  readonly now: () => bigint;
}

export function findRunner(runners: ReadonlyMap<string, PodRunner>, sandboxer: string): PodRunner {
  const found = runners.get(sandboxer);
  if (found !== undefined) return found;
  throw unavailable(
    `Cannot run pods by ${JSON.stringify(sandboxer)}: want ${[...runners.keys()].join(", ")}`,
    {
      subject: sandboxer,
      reason: "sandboxer-missing",
      hint: "It is the key `sandboxer` of a runtime",
    },
  );
}
