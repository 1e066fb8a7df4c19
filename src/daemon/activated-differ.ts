import { randomUUID } from "node:crypto";
import type { LayerDiffer } from "../diff/index.js";
import { LazuliError } from "../errors/index.js";
import type { MountManager, MountSpec } from "../mounts/index.js";
import { log } from "../observe/index.js";
import { currentCall } from "./call-context.js";

/** Of work that no client asked for. */
const NAMESPACE = "lazuli";

/** Who is using activations that nothing in the metadata leads to. */
export type ActivationsInUse = Set<string>;

export interface ActivatedDifferOptions {
  readonly manager: Pick<MountManager, "activate" | "deactivate">;
  readonly inUse: ActivationsInUse;
}

/** The same differ for mounts of snapshotters that only the mount manager can make, as containerd's applier takes them. */
export function activatedDiffer(inner: LayerDiffer, options: ActivatedDifferOptions): LayerDiffer {
  return {
    apply: async (request) =>
      await withActivated(options, request, async (mounts) => await inner.apply({ ...request, mounts })),
    compare: async (request) => {
      const { lower, upper, signal } = request;
      return await withActivated(options, { mounts: lower, signal }, async (lowerMounts) =>
        withActivated(options, { mounts: upper, signal }, async (upperMounts) =>
          inner.compare({ ...request, lower: lowerMounts, upper: upperMounts }),
        ),
      );
    },
  };
}

async function withActivated<Result>(
  { manager, inUse }: ActivatedDifferOptions,
  { mounts, signal }: { readonly mounts: readonly MountSpec[]; readonly signal: AbortSignal },
  use: (mounts: readonly MountSpec[]) => Promise<Result>,
): Promise<Result> {
  const name = `diff-${randomUUID()}`;
  const namespace = currentCall().namespace ?? NAMESPACE;
  inUse.add(name);
  try {
    const system = await activated(manager, { namespace, name, mounts, labels: {} }, signal);
    if (system === undefined) return await use(mounts);
    try {
      return await use(system);
    } finally {
      await manager.deactivate({ namespace, name }).catch((thrown: unknown) => {
        log.warn("Cannot deactivate mounts", { name, error: LazuliError.from(thrown).message });
      });
    }
  } finally {
    inUse.delete(name);
  }
}

/** Undefined: there is nothing to handle. */
async function activated(
  manager: Pick<MountManager, "activate">,
  request: Parameters<MountManager["activate"]>[0],
  signal: AbortSignal,
): Promise<readonly MountSpec[] | undefined> {
  try {
    return (await manager.activate(request, { signal })).system;
  } catch (thrown) {
    if (LazuliError.from(thrown).reason === "mounts-plain") return undefined;
    throw thrown;
  }
}
