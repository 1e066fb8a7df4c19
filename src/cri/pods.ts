import { toJson } from "@bufbuild/protobuf";
import {
  ContainerEventType,
  type LinuxContainerResources,
  LinuxContainerResourcesSchema,
  type ListPodSandboxRequest,
  type PodSandboxStatusRequest,
  type RunPodSandboxRequest,
  type UpdatePodSandboxResourcesRequest,
} from "../../gen/runtime/v1/api_pb.js";
import { delay, KeyedQueue, withSignal } from "../async/index.js";
import { invalidArgument, LazuliError } from "../errors/index.js";
import type { NriPod } from "../nri/index.js";
import { log } from "../observe/index.js";
import { CRI_NAMESPACE, type Pod, type PodCalls, type PodRecord } from "./contract.js";
import { filteredPods, podInfo, podMessage, podStatusMessage } from "./pod-messages.js";
import { isPinned } from "./pod-network.js";
import { nriPod, nriResources } from "./pod-nri.js";
import type { PodParts } from "./pod-parts.js";
import { runPod } from "./pod-run.js";

interface Waiting {
  readonly signal: AbortSignal;
}

/** Waits between tries to clean up after a pod whose process has ended: twice as long each time. */
const RETRY_WAIT_MIN_MS = 1000;
const RETRY_WAIT_MAX_MS = 300_000;
/** Pods in one message of a stream. */
const STREAM_PODS_MAX = 100;

/** The pods of a kubelet. */
export class Pods implements PodCalls, AsyncDisposable {
  readonly #parts: PodParts;
  /** Stopping and removing of one pod wait for each other. */
  readonly #turns = new KeyedQueue<string>();
  readonly #ends = new Map<string, Promise<void>>();
  readonly #closing = new AbortController();

  constructor(parts: PodParts) {
    this.#parts = parts;
  }

  async runPodSandbox({ config, runtimeHandler }: RunPodSandboxRequest, { signal }: Waiting) {
    if (config === undefined) {
      throw invalidArgument("sandbox config must include metadata", { reason: "pod-metadata-missing" });
    }
    const podSandboxId = await runPod(this.#parts, { config, runtimeHandler, signal });
    this.#tell(podSandboxId, ContainerEventType.CONTAINER_CREATED_EVENT);
    this.watch(podSandboxId);
    this.#tell(podSandboxId, ContainerEventType.CONTAINER_STARTED_EVENT);
    return { podSandboxId };
  }

  async stopPodSandbox({ podSandboxId }: { readonly podSandboxId: string }, { signal }: Waiting) {
    const pod = this.#parts.store.pods.find(podSandboxId);
    if (pod !== undefined) await this.#turns.run(pod.record.id, () => this.#stop(pod.record.id, signal));
    return {};
  }

  async removePodSandbox({ podSandboxId }: { readonly podSandboxId: string }, { signal }: Waiting) {
    const pod = this.#parts.store.pods.find(podSandboxId);
    if (pod !== undefined) await this.#turns.run(pod.record.id, () => this.#remove(pod.record.id, signal));
    return {};
  }

  async podSandboxStatus({ podSandboxId, verbose }: PodSandboxStatusRequest, { signal }: Waiting) {
    const { store, containers, now } = this.#parts;
    const pod = store.pods.get(podSandboxId);
    const closed = pod.record.netns !== undefined && !(await isPinned(pod.record.netns));
    // Addresses are those of a network; without the namespace there is none.
    const shown = closed ? { ...pod, record: { ...pod.record, addresses: [] } } : pod;
    return {
      status: podStatusMessage(shown),
      ...(verbose ? { info: { info: await this.#info(pod, { isNetnsClosed: closed, signal }) } } : {}),
      containersStatuses: await Promise.all(
        store.containers.ofPod(pod.record.id).map((one) => containers.statusOf(one)),
      ),
      timestamp: now(),
    };
  }

  async listPodSandbox({ filter }: ListPodSandboxRequest) {
    return { items: filteredPods(this.#parts.store.pods, filter).map(podMessage) };
  }

  async *streamPodSandboxes({ filter }: Pick<ListPodSandboxRequest, "filter">) {
    const pods = filteredPods(this.#parts.store.pods, filter).map(podMessage);
    for (let at = 0; at < pods.length; at += STREAM_PODS_MAX) {
      yield { podSandboxes: pods.slice(at, at + STREAM_PODS_MAX) };
    }
  }

  async updatePodSandboxResources({ podSandboxId, overhead, resources }: UpdatePodSandboxResourcesRequest) {
    const { store, nri } = this.#parts;
    const pod = store.pods.get(podSandboxId);
    const change = { overhead: nriResources(overhead), resources: nriResources(resources) };
    await nri?.updatePodSandbox(this.nriPodOf(pod), change);
    const updated = { overhead: resourcesJson(overhead), resources: resourcesJson(resources) };
    await nri?.postUpdatePodSandbox(this.nriPodOf(await this.#save(pod.record.id, { updated })));
    return {};
  }

  /** Waits for the end of a pod that runs, and cleans up after it. */
  watch(id: string): void {
    const end = this.#untilEnd(id).finally(() => this.#ends.delete(id));
    this.#ends.set(id, end);
  }

  nriPodOf(pod: Pod): NriPod {
    return nriPod(pod, this.#parts.store.pods.rowOf(pod.record.id));
  }

  /** Pods run on. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    await Promise.all(this.#ends.values());
  }

  async #untilEnd(id: string): Promise<void> {
    const { store, runnerOf } = this.#parts;
    const { signal } = this.#closing;
    const runner = runnerOf(store.pods.get(id).record.sandboxer);
    for (let waitMs = RETRY_WAIT_MIN_MS; ; waitMs = Math.min(waitMs * 2, RETRY_WAIT_MAX_MS)) {
      try {
        await runner.wait(id, { signal });
        break;
      } catch (thrown) {
        if (signal.aborted) return;
        const { message: error } = LazuliError.from(thrown);
        log.warn("Could not clean up after a pod that ended", { pod: id, error });
        await delay(waitMs, { signal }).catch(() => undefined); // Closed: told above.
        if (signal.aborted) return;
      }
    }
    const pod = store.pods.find(id);
    if (pod === undefined) return;
    store.pods.put({ ...pod, state: "not-ready", pid: 0 });
    this.#tell(id, ContainerEventType.CONTAINER_STOPPED_EVENT);
  }

  async #stop(id: string, signal: AbortSignal): Promise<void> {
    const { store, containers, networks, nri, runnerOf } = this.#parts;
    const pod = store.pods.find(id);
    // Another call removed it meanwhile.
    if (pod === undefined) return;
    using _hold = nri?.holdSynchronization();
    const runner = runnerOf(pod.record.sandboxer);
    await containers.stopOfPod(id, { signal });
    if (pod.record.isStopped) return;
    if (pod.state !== "not-ready") {
      if (!this.#ends.has(id)) this.watch(id);
      await runner.stop(id, { signal });
      await withSignal(this.#ends.get(id) ?? Promise.resolve(), signal);
    }
    await nri?.stopPodSandbox(this.nriPodOf(pod));
    await networks.remove(pod.record, { signal });
    await runner.release(id);
    await networks.unpin(pod.record);
    await this.#save(id, { isStopped: true });
  }

  async #remove(id: string, signal: AbortSignal): Promise<void> {
    const { store, leases, containers, nri, runnerOf } = this.#parts;
    await this.#stop(id, signal);
    const pod = store.pods.find(id);
    if (pod === undefined) return;
    using _hold = nri?.holdSynchronization();
    await leases.delete({ namespace: CRI_NAMESPACE, id }).catch((thrown: unknown) => {
      if (LazuliError.from(thrown).code !== "NOT_FOUND") throw thrown;
    });
    await containers.removeOfPod(id, { signal });
    await runnerOf(pod.record.sandboxer).remove(id, { signal });
    const known = this.nriPodOf(pod);
    this.#tell(id, ContainerEventType.CONTAINER_DELETED_EVENT);
    await nri?.removePodSandbox(known);
    await store.pods.remove(id);
  }

  async #save(id: string, change: Partial<PodRecord>): Promise<Pod> {
    const { pods } = this.#parts.store;
    const record = { ...pods.get(id).record, ...change };
    await pods.save(record, pods.rowOf(id));
    // Its process may have ended meanwhile.
    const next = { ...pods.get(id), record };
    pods.put(next);
    return next;
  }

  async #info(
    pod: Pod,
    { isNetnsClosed, signal }: { readonly isNetnsClosed: boolean } & Waiting,
  ): Promise<string> {
    const { store, runnerOf } = this.#parts;
    const { id, sandboxer } = pod.record;
    const described = await runnerOf(sandboxer).describe(id, { signal });
    return JSON.stringify(podInfo({ pod, row: store.pods.rowOf(id), isNetnsClosed, described }));
  }

  #tell(id: string, type: ContainerEventType): void {
    this.#parts.events.publish({ containerId: id, podId: id, type });
  }
}

function resourcesJson(resources: LinuxContainerResources | undefined) {
  if (resources === undefined) return null;
  return toJson(LinuxContainerResourcesSchema, resources, { useProtoFieldName: true });
}
