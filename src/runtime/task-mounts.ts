import { LazuliError } from "../errors/index.js";
import type { MountManager } from "../mounts/index.js";
import { log } from "../observe/index.js";
import type { Mount } from "../snapshotters/index.js";
import type { CreateTask, RuntimeInfo, TaskName } from "./contract.js";

/** Of a runtime's annotations: the types of mounts that its shim handles itself, separated by commas. */
const ALLOWED_TYPES = "containerd.io/runtime-allow-mounts";
const CONTAINER_LABEL = "containerd.io/gc.bref.container";

interface CallOptions {
  readonly signal?: AbortSignal | undefined;
}

export interface TaskMountsOptions {
  /** Undefined: every list goes to the shim as it is. */
  readonly manager: Pick<MountManager, "activate" | "deactivate" | "info"> | undefined;
  readonly runtimeInfo: (
    request: Pick<CreateTask, "runtime"> & { readonly options: CreateTask["runtimeOptions"] },
    options: CallOptions,
  ) => Promise<RuntimeInfo>;
}

/** The root file systems of tasks whose mounts a shim can't make alone. */
export class TaskMounts {
  readonly #options: TaskMountsOptions;

  constructor(options: TaskMountsOptions) {
    this.#options = options;
  }

  /**
   * What is left for the shim. What was activated under the task's name before is used again, as containerd does: the
   * container is the same.
   */
  async activate(request: CreateTask, options: CallOptions): Promise<readonly Mount[]> {
    const { namespace, id: name, rootfs } = request;
    const { manager } = this.#options;
    if (manager === undefined || !rootfs.some(isSpecial)) return rootfs;
    const allowedTypes = await this.#allowedTypes(request, options);
    const labels = { [CONTAINER_LABEL]: name };
    try {
      const mounts = rootfs;
      return (await manager.activate({ namespace, name, mounts, labels, allowedTypes }, options)).system;
    } catch (thrown) {
      const { code } = LazuliError.from(thrown);
      if (code === "UNIMPLEMENTED") return rootfs;
      if (code !== "ALREADY_EXISTS") throw thrown;
      return manager.info({ namespace, name }).system;
    }
  }

  /** What can't be taken away is left to the collection. */
  async deactivate({ namespace, id: name }: TaskName): Promise<void> {
    try {
      await this.#options.manager?.deactivate({ namespace, name });
    } catch (thrown) {
      const { code, message } = LazuliError.from(thrown);
      if (code !== "NOT_FOUND") log.error("Cannot deactivate a task's mounts", { id: name, error: message });
    }
  }

  async #allowedTypes(request: CreateTask, options: CallOptions): Promise<readonly string[]> {
    const { runtime, runtimeOptions } = request;
    try {
      const info = await this.#options.runtimeInfo({ runtime, options: runtimeOptions }, options);
      return (info.annotations[ALLOWED_TYPES] ?? "").split(",").map((type) => type.trim());
    } catch (thrown) {
      options.signal?.throwIfAborted();
      // A shim without this command handles plain mounts.
      log.warn("Cannot ask a runtime which mounts it handles", { runtime, error: String(thrown) });
      return [];
    }
  }
}

/** A type that only the mount manager knows. */
function isSpecial({ type }: Mount): boolean {
  return type === "loop" || /^(?:format|mkdir|mkfs)\//.test(type);
}
