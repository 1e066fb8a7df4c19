import { runtimeJson } from "../cdi/index.js";
import { failedPrecondition, LazuliError } from "../errors/index.js";
import type { NativeBinding } from "../fuse/index.js";
import { type AnyValue, ContainerTable, type Metadata } from "../metadata/index.js";
import type { TaskManager } from "../runtime/index.js";
import type { Mount, NamespacedSnapshotter } from "../snapshotters/index.js";
import type { RunConfig } from "../spec/index.js";
import { CRI_NAMESPACE, type CriImages, type PodRecord } from "./contract.js";
import { type CriFolders, makePodFiles, podFolders, removePodFiles, unmountPodFiles } from "./pod-folders.js";
import { userRanges } from "./pod-network.js";
import { PAUSE_PROGRAM } from "./podsandbox-rootfs.js";
import type { PodRunner, StartedPod, StartPod } from "./podsandbox-runner.js";
import { podSpec, type SpecHost, type SpecSettings } from "./spec/index.js";
import { POD_RECORD, podRecordAny } from "./store-records.js";

export interface PausePodsOptions {
  readonly metadata: Metadata;
  readonly binding: NativeBinding;
  readonly tasks: TaskManager;
  readonly folders: CriFolders;
  /** Root file system with our own program. */
  readonly rootfs: string;
  /** A configured image in place of our own program, with what it is run from. */
  readonly image: PauseImage | undefined;
  readonly settings: SpecSettings;
  readonly host: SpecHost;
  readonly now: () => bigint;
}

export interface PauseImage {
  readonly reference: string;
  readonly images: CriImages;
  readonly snapshotterOf: (name: string) => NamespacedSnapshotter;
}

interface Waiting {
  readonly signal?: AbortSignal | undefined;
}

interface Root {
  readonly path: string;
  readonly mounts: readonly Mount[];
  readonly args: readonly string[];
  readonly image: RunConfig | undefined;
  readonly imageName: string;
  readonly snapshotter: string;
  readonly snapshotKey: string;
}

const SIGKILL = 9;
const OWN_NAME = "lazuli-pause";
/** As Go's typeurl names a spec in JSON. */
const SPEC_TYPE = "types.containerd.io/opencontainers/runtime-spec/1/Spec";
const KIND_LABEL = "io.cri-containerd.kind";
const UID_MAPPING_LABEL = "containerd.io/snapshot/uidmapping";
const GID_MAPPING_LABEL = "containerd.io/snapshot/gidmapping";

/** The controller `podsandbox`: a pod's namespaces are held by a process that only waits. */
export class PausePods implements PodRunner {
  readonly #options: PausePodsOptions;
  readonly #containers: ContainerTable;

  constructor(options: PausePodsOptions) {
    this.#options = options;
    this.#containers = new ContainerTable(options);
  }

  async start({ record, handler, rollback, signal }: StartPod): Promise<StartedPod> {
    const { binding, tasks } = this.#options;
    const { id, config } = record;
    const folders = podFolders(this.#options.folders, id);
    rollback.add("files", () => removePodFiles({ binding, folders }));
    await makePodFiles({ binding, folders, config });
    const root = await this.#root({ record, handler, rollback, signal });
    const { spec, processLabel } = await podSpec({
      id,
      config,
      netns: record.netns,
      userns: record.userns,
      rootfsPath: root.path,
      args: root.args,
      image: root.image,
      imageName: root.imageName,
      files: folders,
      runtime: handler.table,
      settings: this.#options.settings,
      host: this.#options.host,
    });
    signal.throwIfAborted();
    const any: AnyValue = { typeUrl: SPEC_TYPE, value: runtimeJson(spec) };
    const labels = { ...config.labels, [KIND_LABEL]: "sandbox" };
    rollback.add("container", () => this.#deleteContainer(id));
    await this.#containers.create({
      namespace: CRI_NAMESPACE,
      id,
      image: root.imageName,
      runtime: { name: handler.runtimeType, options: handler.options },
      spec: any,
      snapshotter: root.snapshotter,
      snapshotKey: root.snapshotKey,
      labels,
      extensions: { [POD_RECORD]: podRecordAny({ ...record, processLabel }) },
      sandboxId: "",
    });
    rollback.add("task", (options) => this.#deleteTask(id, options));
    const name = { namespace: CRI_NAMESPACE, id };
    await tasks.create(
      {
        ...name,
        runtime: handler.runtime,
        runtimeOptions: handler.options,
        taskOptions: undefined,
        spec: any,
        rootfs: root.mounts,
        io: { stdin: "", stdout: "", stderr: "", terminal: false },
        checkpointFolder: "",
        sandboxId: "",
        sandboxAddress: "",
      },
      { signal },
    );
    const pid = await tasks.start({ ...name, execId: "" }, { signal });
    return { pid, address: "", spec: any, processLabel, labels };
  }

  async stop(id: string, options: Waiting): Promise<void> {
    const request = { namespace: CRI_NAMESPACE, id, execId: "", signalNumber: SIGKILL, all: true };
    await absent(this.#options.tasks.kill(request, options));
  }

  async release(id: string): Promise<void> {
    const { binding } = this.#options;
    await unmountPodFiles({ binding, folders: podFolders(this.#options.folders, id) });
  }

  async wait(id: string, options: Waiting): Promise<void> {
    const { tasks } = this.#options;
    await absent(tasks.wait({ namespace: CRI_NAMESPACE, id, execId: "" }, options));
    await absent(tasks.delete({ namespace: CRI_NAMESPACE, id }, options));
  }

  async remove(id: string, options: Waiting): Promise<void> {
    const { binding } = this.#options;
    await this.#deleteTask(id, options);
    await this.#deleteContainer(id);
    await removePodFiles({ binding, folders: podFolders(this.#options.folders, id) });
  }

  async find(id: string, options: Waiting): ReturnType<PodRunner["find"]> {
    const name = { namespace: CRI_NAMESPACE, id, execId: "" };
    const state = await absent(this.#options.tasks.state(name, options));
    if (state?.status === "running") return { state: "ready", pid: state.pid, address: "" };
    if (state !== undefined) await this.#deleteTask(id, options);
    return { state: "not-ready", pid: 0, address: "" };
  }

  async describe(id: string, options: Waiting): Promise<Readonly<Record<string, unknown>>> {
    const name = { namespace: CRI_NAMESPACE, id, execId: "" };
    const state = await absent(this.#options.tasks.state(name, options));
    const row = await absent((async () => this.#containers.get(name))());
    return {
      processStatus: state?.status ?? "deleted",
      image: row?.image ?? "",
      snapshotKey: row?.snapshotKey ?? "",
      snapshotter: row?.snapshotter ?? "",
    };
  }

  async #deleteTask(id: string, options: Waiting): Promise<void> {
    const { tasks } = this.#options;
    const name = { namespace: CRI_NAMESPACE, id };
    if (!tasks.list(CRI_NAMESPACE).some((task) => task.id === id)) return;
    await this.stop(id, options);
    await absent(tasks.wait({ ...name, execId: "" }, options));
    await absent(tasks.delete(name, options));
  }

  async #deleteContainer(id: string): Promise<void> {
    const name = { namespace: CRI_NAMESPACE, id };
    const row = await absent((async () => this.#containers.get(name))());
    if (row === undefined) return;
    if (row.snapshotKey !== "") await this.#removeSnapshot(row.snapshotter, row.snapshotKey);
    await absent(this.#containers.delete(name));
  }

  async #root(request: StartPod): Promise<Root> {
    const { image, rootfs } = this.#options;
    if (image !== undefined) return await this.#imageRoot(image, request);
    const own = {
      args: [PAUSE_PROGRAM],
      image: undefined,
      imageName: OWN_NAME,
      snapshotter: "",
      snapshotKey: "",
    };
    if (userRanges(request.record.config) === undefined) return { ...own, path: rootfs, mounts: [] };
    // The pod's root may not pass through our folders, but it may into its own bundle.
    const mount = { type: "bind", source: rootfs, target: "", options: ["rbind", "ro"] };
    return { ...own, path: "rootfs", mounts: [mount] };
  }

  async #imageRoot(image: PauseImage, { record, handler, rollback, signal }: StartPod): Promise<Root> {
    const { images, reference } = image;
    const { runtimeHandler } = record;
    if ((await images.find(reference)) === undefined) {
      await images.pull({ reference, runtimeHandler, credential: undefined, signal });
    }
    const found = await images.find(reference);
    if (found === undefined) {
      throw failedPrecondition(`Cannot find the image of pods ${reference} that was just pulled`, {
        subject: reference,
        reason: "pause-image-missing",
      });
    }
    const name = handler.snapshotter ?? images.snapshotterOf(runtimeHandler);
    const { id } = record;
    const store = image.snapshotterOf(name).for({ namespace: CRI_NAMESPACE, lease: id });
    rollback.add("snapshot", () => this.#removeSnapshot(name, id));
    const mounts = await store.prepare({
      key: id,
      parent: found.chainId,
      labels: mappingLabels(record),
      signal,
    });
    const args = [...found.config.entrypoint, ...found.config.command];
    return {
      path: "rootfs",
      mounts,
      args,
      image: found.config,
      imageName: reference,
      snapshotter: name,
      snapshotKey: id,
    };
  }

  async #removeSnapshot(snapshotter: string, key: string): Promise<void> {
    const { image } = this.#options;
    const store = image?.snapshotterOf(snapshotter).for({ namespace: CRI_NAMESPACE, lease: undefined });
    if (store !== undefined) await absent(store.remove(key));
  }
}

function mappingLabels({ config }: PodRecord): Record<string, string> {
  const ranges = userRanges(config);
  if (ranges === undefined) return {};
  const text = (all: typeof ranges.uids): string =>
    all.map(({ containerId, hostId, size }) => `${containerId}:${hostId}:${size}`).join(",");
  return { [UID_MAPPING_LABEL]: text(ranges.uids), [GID_MAPPING_LABEL]: text(ranges.gids) };
}

/** Undefined for what is not there, or no more. */
async function absent<Value>(promise: Promise<Value>): Promise<Value | undefined> {
  try {
    return await promise;
  } catch (thrown) {
    if (LazuliError.from(thrown).code === "NOT_FOUND") return undefined;
    throw thrown;
  }
}
