import { toBinary } from "@bufbuild/protobuf";
import { PodSandboxConfigSchema } from "../../gen/runtime/v1/api_pb.js";
import { LazuliError } from "../errors/index.js";
import type { NativeBinding } from "../fuse/index.js";
import type { SandboxController } from "../runtime/index.js";
import { CRI_NAMESPACE } from "./contract.js";
import { type CriFolders, makePodFiles, podFolders, removePodFiles, unmountPodFiles } from "./pod-folders.js";
import type { PodRunner, StartedPod, StartPod } from "./podsandbox-runner.js";
import { POD_RECORD, podRecordAny } from "./store-records.js";

export interface ShimPodsOptions {
  readonly name: string;
  readonly controller: SandboxController;
  readonly binding: NativeBinding;
  readonly folders: CriFolders;
}

interface Waiting {
  readonly signal?: AbortSignal | undefined;
}

const READY = "SANDBOX_READY";
const SELINUX_LABEL = "selinux_label";

/** Pods that a shim or a plugged controller runs itself. */
export class ShimPods implements PodRunner {
  readonly #options: ShimPodsOptions;

  constructor(options: ShimPodsOptions) {
    this.#options = options;
  }

  async start({ record, handler, rollback, signal }: StartPod): Promise<StartedPod> {
    const { binding, controller } = this.#options;
    const { id, config } = record;
    const folders = podFolders(this.#options.folders, id);
    const name = { namespace: CRI_NAMESPACE, id };
    rollback.add("files", () => removePodFiles({ binding, folders }));
    await makePodFiles({ binding, folders, config });
    rollback.add("sandbox", (options) => absent(controller.shutdown(name, options)));
    const options = {
      typeUrl: PodSandboxConfigSchema.typeName,
      value: toBinary(PodSandboxConfigSchema, config),
    };
    await controller.create(
      {
        ...name,
        sandbox: {
          ...name,
          sandboxer: this.#options.name,
          runtime: { name: handler.runtime, options: handler.options },
          spec: undefined,
          labels: config.labels,
          extensions: { [POD_RECORD]: podRecordAny(record) },
        },
        rootfs: [],
        options,
        netnsPath: record.netns ?? "",
        annotations: config.annotations,
      },
      { signal },
    );
    const { pid, address, spec, labels } = await controller.start(name, { signal });
    return { pid, address, spec, processLabel: labels[SELINUX_LABEL] ?? "", labels };
  }

  async stop(id: string, { signal }: Waiting): Promise<void> {
    await absent(this.#options.controller.stop({ namespace: CRI_NAMESPACE, id, timeoutMs: 0 }, { signal }));
  }

  async release(id: string): Promise<void> {
    const { binding } = this.#options;
    await unmountPodFiles({ binding, folders: podFolders(this.#options.folders, id) });
  }

  async wait(id: string, { signal }: Waiting): Promise<void> {
    await absent(this.#options.controller.wait({ namespace: CRI_NAMESPACE, id }, { signal }));
  }

  async remove(id: string, { signal }: Waiting): Promise<void> {
    const { binding, controller } = this.#options;
    await absent(controller.shutdown({ namespace: CRI_NAMESPACE, id }, { signal }));
    await removePodFiles({ binding, folders: podFolders(this.#options.folders, id) });
  }

  async find(id: string, { signal }: Waiting): ReturnType<PodRunner["find"]> {
    const request = { namespace: CRI_NAMESPACE, id, isVerbose: false };
    const status = await absent(this.#options.controller.status(request, { signal }));
    if (status?.state !== READY) return { state: "not-ready", pid: 0, address: "" };
    return { state: "ready", pid: status.pid, address: status.address };
  }

  async describe(id: string, { signal }: Waiting): Promise<Readonly<Record<string, unknown>>> {
    const request = { namespace: CRI_NAMESPACE, id, isVerbose: true };
    const status = await absent(this.#options.controller.status(request, { signal }));
    return { processStatus: status?.state ?? "deleted", ...status?.info };
  }
}

async function absent<Value>(promise: Promise<Value>): Promise<Value | undefined> {
  try {
    return await promise;
  } catch (thrown) {
    if (LazuliError.from(thrown).code === "NOT_FOUND") return undefined;
    throw thrown;
  }
}
