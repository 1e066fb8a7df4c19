import type {
  AttachRequest,
  CheckpointContainerRequest,
  ContainerStatusRequest,
  CreateContainerRequest,
  ExecRequest,
  ExecSyncRequest,
  ListContainersRequest,
  PortForwardRequest,
  StopContainerRequest,
  UpdateContainerResourcesRequest,
} from "../../gen/runtime/v1/api_pb.js";
import { failedPrecondition, LazuliError } from "../errors/index.js";
import type { NriContainer } from "../nri/index.js";
import { log } from "../observe/index.js";
import type { RuntimeSpec } from "../spec/index.js";
import { checkpointContainer } from "./checkpoint.js";
import { createContainer } from "./container-create.js";
import { followOom } from "./container-exit.js";
import { ContainerLives } from "./container-lives.js";
import { containerInfo, containerMessage, filteredContainers, statusMessage } from "./container-messages.js";
import { rootfsFolder, specOf } from "./container-names.js";
import type { ContainerParts, ContainersOptions } from "./container-parts.js";
import { nriContainer, tellStopped } from "./container-plugins.js";
import { recoverContainer } from "./container-recover.js";
import { removeContainer } from "./container-remove.js";
import { cleanRootfs } from "./container-rootfs.js";
import { startContainer } from "./container-start.js";
import { stopContainer } from "./container-stop.js";
import { containerStreams } from "./container-streams.js";
import { updateContainer } from "./container-update.js";
import { ImageVolumes } from "./container-volumes.js";
import type { ContainerCalls, CriContainer, PodContainers, StreamRuntime } from "./contract.js";
import { runningContainer } from "./exec.js";
import { execSync } from "./exec-sync.js";
import { forwardingPod } from "./forward-port.js";
import type { StoredContainer } from "./store.js";

interface Waiting {
  readonly signal: AbortSignal;
}

interface Named {
  readonly containerId: string;
}

/** Containers in one message of a stream. */
const STREAM_CONTAINERS_MAX = 100;
const NOT_FOUND_IN_STORE = "failed to find container in store";

/** The containers of a kubelet's pods. */
export class Containers implements ContainerCalls, PodContainers, AsyncDisposable {
  /** For the streaming server. */
  readonly streamRuntime: StreamRuntime;
  readonly #parts: ContainerParts & { readonly volumes: ImageVolumes };
  readonly #closing = new AbortController();

  constructor(options: ContainersOptions) {
    this.#parts = { ...options, lives: new ContainerLives(), volumes: new ImageVolumes(options) };
    this.streamRuntime = containerStreams(this.#parts);
    followOom(this.#parts, this.#closing.signal).catch((thrown: unknown) => {
      if (this.#closing.signal.aborted) return;
      log.error("Cannot follow who runs out of memory", { error: LazuliError.from(thrown).message });
    });
  }

  async createContainer(request: CreateContainerRequest, { signal }: Waiting) {
    using _hold = this.#parts.nri?.holdSynchronization();
    return { containerId: await createContainer(this.#parts, request, signal) };
  }

  async startContainer({ containerId }: Named, { signal }: Waiting) {
    await startContainer(this.#parts, containerId, signal);
    return {};
  }

  async stopContainer({ containerId, timeout }: StopContainerRequest, { signal }: Waiting) {
    const container = this.#parts.store.containers.find(containerId);
    if (container === undefined) return {};
    await stopContainer(this.#parts, container, { timeoutSeconds: timeout, signal });
    // Plugins were told of its end then; one that has never run is told here.
    if (container.state === "created") await tellStopped(this.#parts, container);
    return {};
  }

  async removeContainer({ containerId }: Named, { signal }: Waiting) {
    const container = this.#parts.store.containers.find(containerId);
    if (container !== undefined) await removeContainer(this.#parts, container, signal);
    return {};
  }

  async listContainers({ filter }: Pick<ListContainersRequest, "filter">) {
    return { containers: filteredContainers(this.#parts.store, filter).map(containerMessage) };
  }

  async *streamContainers({ filter }: Pick<ListContainersRequest, "filter">) {
    const containers = filteredContainers(this.#parts.store, filter).map(containerMessage);
    for (let at = 0; at < containers.length; at += STREAM_CONTAINERS_MAX) {
      yield { containers: containers.slice(at, at + STREAM_CONTAINERS_MAX) };
    }
  }

  async containerStatus({ containerId, verbose }: ContainerStatusRequest) {
    const { store, lives } = this.#parts;
    const container = store.containers.get(containerId);
    const { id } = container.record;
    const status = await this.statusOf(container);
    if (!verbose) return { status };
    const isRemoving = lives.of(id).phase === "removing";
    return { status, info: containerInfo(container, { row: store.containers.rowOf(id), isRemoving }) };
  }

  async updateContainerResources(request: UpdateContainerResourcesRequest, { signal }: Waiting) {
    await updateContainer(this.#parts, request, signal);
    return {};
  }

  async reopenContainerLog({ containerId }: Named) {
    const { store, lives } = this.#parts;
    const { record, state } = store.containers.get(containerId);
    if (state !== "running") {
      throw failedPrecondition("container is not running", {
        subject: record.id,
        reason: "container-not-running",
      });
    }
    await lives.of(record.id).io?.reopenLog();
    return {};
  }

  async execSync(request: ExecSyncRequest, { signal }: Waiting) {
    return await execSync(this.#parts, request, signal);
  }

  async exec({ containerId, cmd, tty, stdin, stdout, stderr }: ExecRequest) {
    const { record } = runningContainer(this.#parts, containerId, NOT_FOUND_IN_STORE);
    const url = this.#parts.streams().execUrl({
      containerId: record.id,
      command: cmd,
      isTerminal: tty,
      stdin,
      stdout,
      stderr,
    });
    return { url };
  }

  async attach({ containerId, tty, stdin, stdout, stderr }: AttachRequest) {
    const { record } = runningContainer(this.#parts, containerId, NOT_FOUND_IN_STORE);
    const url = this.#parts.streams().attachUrl({
      containerId: record.id,
      isTerminal: tty,
      stdin,
      stdout,
      stderr,
    });
    return { url };
  }

  async portForward({ podSandboxId, port }: PortForwardRequest) {
    const { record } = forwardingPod(this.#parts, podSandboxId);
    return { url: this.#parts.streams().forwardPortUrl({ podId: record.id, ports: port }) };
  }

  async checkpointContainer(request: CheckpointContainerRequest, { signal }: Waiting) {
    await checkpointContainer(this.#parts, request, signal);
    return {};
  }

  async stopOfPod(podId: string, { signal }: Partial<Waiting> = {}): Promise<void> {
    const containers = this.#parts.store.containers.ofPod(podId);
    await allDone(containers, (one) => stopContainer(this.#parts, one, { timeoutSeconds: 0n, signal }));
  }

  async removeOfPod(podId: string, { signal }: Partial<Waiting> = {}): Promise<void> {
    const containers = this.#parts.store.containers.ofPod(podId);
    await allDone(containers, (one) => removeContainer(this.#parts, one, signal));
    await this.#parts.volumes.removeOfPod(podId);
  }

  async recover(stored: StoredContainer, options: Partial<Waiting> = {}): Promise<void> {
    await recoverContainer(this.#parts, stored, options);
  }

  async statusOf(container: CriContainer) {
    const { images } = this.#parts;
    return statusMessage(container, {
      image: await images.find(container.record.imageId),
      spec: this.#specOf(container),
    });
  }

  /** What runs, for a plugin that comes. */
  async nriContainers(): Promise<readonly NriContainer[]> {
    return this.#parts.store.containers.list().flatMap((container) => {
      const spec = this.#specOf(container);
      return spec === undefined ? [] : [nriContainer(container, spec)];
    });
  }

  /** Lets go of the pipes; containers run on. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    await this.#parts.lives.close();
  }

  /** Undefined for one that is being removed. */
  #specOf({ record }: CriContainer): RuntimeSpec | undefined {
    try {
      return specOf(this.#parts.store.containers.rowOf(record.id));
    } catch (thrown) {
      if (LazuliError.from(thrown).code === "NOT_FOUND") return undefined;
      throw thrown;
    }
  }
}

/** All of them, also when one fails; then the first failure is thrown. */
async function allDone<Item>(items: readonly Item[], work: (item: Item) => Promise<void>): Promise<void> {
  const results = await Promise.allSettled(items.map(work));
  const failed = results.find((result) => result.status === "rejected");
  if (failed !== undefined) throw failed.reason;
}

/** Starts to serve containers; recover() takes up those from before. */
export async function openContainers(options: ContainersOptions): Promise<Containers> {
  await cleanRootfs({ binding: options.binding, folder: rootfsFolder(options.folders) });
  return new Containers(options);
}
