import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type ContainerEventResponse,
  ContainerEventResponseSchema,
  type ContainerStatusSchema,
} from "../../gen/runtime/v1/api_pb.js";
import { LazuliError, resourceExhausted } from "../errors/index.js";
import { log } from "../observe/index.js";
import type { CriContainer, CriEvents, Pod } from "./contract.js";
import { podStatusMessage } from "./pod-messages.js";
import type { CriStore } from "./store.js";

export interface CriEventQueueOptions {
  readonly store: CriStore;
  readonly statusOf: (container: CriContainer) => Promise<MessageInitShape<typeof ContainerStatusSchema>>;
  /** Nanoseconds since 1970. */
  readonly now: () => bigint;
}

/** How long events wait for somebody to listen. */
const KEPT_NANOSECONDS = 300_000_000_000n;
/** Events that wait for one who listens, or for the first; the oldest goes. */
const WAITING_MAX = 10_000;
/** Listeners at once; one beyond it is refused. */
const LISTENERS_MAX = 100;

interface Listener {
  readonly waiting: ContainerEventResponse[];
  wake: () => void;
}

/** Events of pods and containers for kubelets: kept for a while when nobody listens, as while a kubelet restarts. */
export class CriEventQueue implements CriEvents {
  readonly #options: CriEventQueueOptions;
  readonly #listeners = new Set<Listener>();
  #kept: ContainerEventResponse[] = [];
  /** Events keep their order though the statuses of some take longer to be read. */
  #tail: Promise<void> = Promise.resolve();

  constructor(options: CriEventQueueOptions) {
    this.#options = options;
  }

  publish(event: Parameters<CriEvents["publish"]>[0]): void {
    const { store, now } = this.#options;
    const createdAt = now();
    // As they are now: what comes after is told by an event of its own.
    const pod = store.pods.find(event.podId);
    const containers = store.containers.ofPod(event.podId);
    this.#tail = this.#tail.then(async () => {
      try {
        this.#offer(await this.#message({ ...event, createdAt, pod, containers }));
      } catch (thrown) {
        const { message: error } = LazuliError.from(thrown);
        log.warn("Could not tell a kubelet of an event", { container: event.containerId, error });
      }
    });
  }

  /** @throws RESOURCE_EXHAUSTED */
  async *listen({ signal }: { readonly signal: AbortSignal }): AsyncIterable<ContainerEventResponse> {
    if (this.#listeners.size >= LISTENERS_MAX) {
      throw resourceExhausted(`Cannot listen to events of containers: at most ${LISTENERS_MAX} may listen`, {
        reason: "events-listeners-max",
      });
    }
    this.#forgetOld();
    const listener: Listener = { waiting: this.#kept.splice(0), wake: () => undefined };
    this.#listeners.add(listener);
    const stop = (): void => listener.wake();
    signal.addEventListener("abort", stop);
    try {
      while (!signal.aborted) {
        const event = listener.waiting.shift();
        if (event !== undefined) yield event;
        else await new Promise<void>((resolve) => (listener.wake = resolve));
      }
    } finally {
      signal.removeEventListener("abort", stop);
      this.#listeners.delete(listener);
    }
  }

  async #message(event: {
    readonly containerId: string;
    readonly type: Parameters<CriEvents["publish"]>[0]["type"];
    readonly createdAt: bigint;
    readonly pod: Pod | undefined;
    readonly containers: readonly CriContainer[];
  }): Promise<ContainerEventResponse> {
    const { containerId, type, createdAt, pod, containers } = event;
    return create(ContainerEventResponseSchema, {
      containerId,
      containerEventType: type,
      createdAt,
      ...(pod === undefined ? {} : { podSandboxStatus: podStatusMessage(pod) }),
      containersStatuses: await Promise.all(containers.map((one) => this.#options.statusOf(one))),
    });
  }

  #offer(event: ContainerEventResponse): void {
    if (this.#listeners.size === 0) {
      this.#forgetOld();
      bounded(this.#kept).push(event);
    }
    for (const listener of this.#listeners) {
      bounded(listener.waiting).push(event);
      listener.wake();
    }
  }

  #forgetOld(): void {
    const oldest = this.#options.now() - KEPT_NANOSECONDS;
    this.#kept = this.#kept.filter(({ createdAt }) => createdAt >= oldest);
  }
}

function bounded(waiting: ContainerEventResponse[]): ContainerEventResponse[] {
  if (waiting.length >= WAITING_MAX) waiting.shift();
  return waiting;
}
