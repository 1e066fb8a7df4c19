import type { PodSandboxConfig } from "../../gen/runtime/v1/api_pb.js";
import { invalidArgument, LazuliError } from "../errors/index.js";
import type { PodRecord, RuntimeHandler } from "./contract.js";
import { CRI_NAMESPACE } from "./contract.js";
import { newId, podName } from "./names.js";
import { podFolders } from "./pod-folders.js";
import { userRanges } from "./pod-network.js";
import { nriPod } from "./pod-nri.js";
import type { PodParts } from "./pod-parts.js";
import { Rollback } from "./pod-rollback.js";
import type { PodRow } from "./store.js";

export interface RunPod {
  readonly config: PodSandboxConfig;
  readonly runtimeHandler: string;
  readonly signal: AbortSignal;
}

/** Label of the leases that hold what pods need, so that one without a pod is found. */
export const LEASE_LABEL = "io.cri-containerd.kind";
export const LEASE_KIND = "sandbox";

/**
 * Makes a pod and shows it. What fails leaves nothing; if that can't be had, a pod in the state `unknown` that can be
 * stopped and removed. @throws INVALID_ARGUMENT; ALREADY_EXISTS; what networks, shims and plugins throw
 */
export async function runPod(parts: PodParts, request: RunPod): Promise<string> {
  const { store } = parts;
  const { record, handler } = newPod(parts, request);
  const rollback = new Rollback();
  store.pods.reserve(record);
  rollback.add("name", async () => store.pods.release(record));
  const steps = new PodSteps(parts, { record, handler, rollback, signal: request.signal });
  using _hold = parts.nri?.holdSynchronization();
  try {
    await steps.run();
    return record.id;
  } catch (thrown) {
    // Kept for the kubelet, which stops and removes what it does not know to be ready.
    if (!(await rollback.run(record.id))) {
      store.pods.put({ record: steps.record, state: "unknown", pid: 0, address: "" });
    }
    const error = LazuliError.from(thrown);
    throw new LazuliError(
      error.code,
      `failed to start sandbox ${JSON.stringify(record.id)}: ${error.message}`,
      {
        subject: record.id,
        ...(error.reason === undefined ? {} : { reason: error.reason }),
        cause: thrown,
      },
    );
  }
}

function newPod(
  parts: PodParts,
  { config, runtimeHandler }: RunPod,
): { readonly record: PodRecord; readonly handler: RuntimeHandler } {
  if (config.metadata === undefined) {
    throw invalidArgument("sandbox config must include metadata", { reason: "pod-metadata-missing" });
  }
  const handler = parts.handlers.find(runtimeHandler);
  const id = newId();
  const netns = parts.networks.newNetns(config);
  const hasUserns = userRanges(config) !== undefined;
  const record: PodRecord = {
    id,
    name: podName(config.metadata),
    config,
    runtimeHandler,
    createdAt: parts.now(),
    sandboxer: handler.sandboxer,
    netns,
    // On the host's network the runtime makes it.
    userns: hasUserns && netns !== undefined ? podFolders(parts.folders, id).userns : undefined,
    addresses: [],
    cniResult: undefined,
    updated: undefined,
    processLabel: "",
    isStopped: false,
  };
  return { record, handler };
}

interface Steps {
  readonly record: PodRecord;
  readonly handler: RuntimeHandler;
  readonly rollback: Rollback;
  readonly signal: AbortSignal;
}

class PodSteps {
  readonly #parts: PodParts;
  readonly #steps: Steps;
  #record: PodRecord;
  #row: PodRow;

  constructor(parts: PodParts, steps: Steps) {
    const { handler, record } = steps;
    this.#parts = parts;
    this.#steps = steps;
    this.#record = record;
    this.#row = {
      sandboxer: handler.sandboxer,
      runtime: { name: handler.runtimeType, options: handler.options },
      spec: undefined,
      labels: { name: record.name },
    };
  }

  /** As far as it came. */
  get record(): PodRecord {
    return this.#record;
  }

  async run(): Promise<void> {
    const { signal } = this.#steps;
    await this.#lease();
    signal.throwIfAborted();
    await this.#store();
    await this.#network();
    signal.throwIfAborted();
    await this.#start();
  }

  async #lease(): Promise<void> {
    const { leases } = this.#parts;
    const name = { namespace: CRI_NAMESPACE, id: this.#record.id };
    this.#steps.rollback.add("lease", () => leases.delete(name));
    await leases.create({ ...name, labels: { [LEASE_LABEL]: LEASE_KIND } });
  }

  /** With the path of the namespace that is not there yet: after a kill it is found by it. */
  async #store(): Promise<void> {
    const { store } = this.#parts;
    this.#steps.rollback.add("record", () => store.pods.remove(this.#record.id));
    await store.pods.create(this.#record, this.#row);
  }

  async #network(): Promise<void> {
    const { networks } = this.#parts;
    const { rollback, signal } = this.#steps;
    if (this.#record.netns === undefined) return;
    rollback.add("network namespace", () => networks.unpin(this.#record));
    await networks.pin(this.#record);
    rollback.add("network", (options) => networks.remove(this.#record, options));
    this.#record = { ...this.#record, ...(await networks.add(this.#record, { signal })) };
    await this.#save();
  }

  async #start(): Promise<void> {
    const { nri, store } = this.#parts;
    const { handler, rollback, signal } = this.#steps;
    const runner = this.#parts.runnerOf(this.#record.sandboxer);
    const started = await runner.start({ record: this.#record, handler, rollback, signal });
    this.#record = { ...this.#record, processLabel: started.processLabel };
    this.#row = { ...this.#row, spec: started.spec, labels: { ...this.#row.labels, ...started.labels } };
    await this.#save();
    const { pid, address } = started;
    const pod = { record: this.#record, state: "ready", pid, address } as const;
    const known = nriPod(pod, store.pods.rowOf(this.#record.id));
    rollback.add("plugins", () => nri?.removePodSandbox(known));
    await nri?.runPodSandbox(known);
    signal.throwIfAborted();
    store.pods.put(pod);
  }

  async #save(): Promise<void> {
    await this.#parts.store.pods.save(this.#record, this.#row);
  }
}
