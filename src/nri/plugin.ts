import type { Duplex } from "node:stream";
import {
  create,
  type DescMessage,
  type DescMethodUnary,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import {
  type Container,
  type ContainerUpdate,
  Event,
  Plugin as PluginService,
  type PodSandbox,
  type PostCreateContainerRequestSchema,
  type RegisterPluginRequest,
  Runtime,
  type UpdateContainersRequest,
} from "../../gen/nri/pkg/api/v1alpha1/api_pb.js";
import { type Deferred, deferred, withSignal } from "../async/index.js";
import { failedPrecondition, invalidArgument, LazuliError, unavailable } from "../errors/index.js";
import { log } from "../observe/index.js";
import { serveTtrpcOver, type TtrpcClient, ttrpcClientOver, ttrpcService } from "../ttrpc/index.js";
import { Mux, muxConnections } from "./mux.js";
import { checkPluginName, type PluginName, shownName } from "./plugin-name.js";

/** The version of the NRI protocol that is spoken here, as plugins are told it. */
const NRI_VERSION = "v0.12.2";
/** Bit of an event in a plugin's mask is its number less one. */
const ALL_EVENTS = 2 ** (Event.LAST - 1) - 1;

export interface PluginOptions {
  readonly stream: Duplex;
  /** Of one that was started here; others tell theirs. */
  readonly name?: PluginName | undefined;
  readonly config: string;
  readonly runtimeName: string;
  readonly runtimeVersion: string;
  readonly registrationTimeoutMs: number;
  readonly requestTimeoutMs: number;
  /** Answers with the updates that failed. */
  readonly onUpdate: (
    request: UpdateContainersRequest,
    plugin: string,
  ) => Promise<readonly ContainerUpdate[]>;
}

/** Whom an event is about. */
export interface EventSubject {
  readonly pod: PodSandbox;
  readonly container?: Container;
}

/** Requests of all events have the same fields; those of pods have no container. */
type EventMethod = DescMethodUnary<typeof PostCreateContainerRequestSchema>;

/** The connection to one plugin. */
export class NriPlugin {
  /** Settles when the connection has ended. Never rejects. */
  readonly closed: Promise<void>;
  readonly #options: PluginOptions;
  readonly #mux: Mux;
  readonly #client: TtrpcClient;
  readonly #registered: Deferred<PluginName> = deferred();
  /** Calls that this plugin does not have: it is told of them in the old way. */
  readonly #missing = new Set<Event>();
  #name: PluginName | undefined;
  #events = 0;
  #wantsAll = false;
  #isClosed = false;

  constructor(options: PluginOptions) {
    this.#options = options;
    this.#mux = new Mux(options.stream);
    this.#client = ttrpcClientOver(this.#mux.channel(muxConnections.plugin));
    this.closed = this.#mux.closed;
    const runtime = ttrpcService(Runtime, {
      registerPlugin: async (request) => this.#register(request),
      updateContainers: async (request) => this.#update(request),
    });
    serveTtrpcOver(this.#mux.channel(muxConnections.runtime), [runtime]);
    // Who has stopped to wait does not look at it.
    this.#registered.promise.catch(() => undefined);
    void this.closed.then(() => {
      this.#isClosed = true;
      this.#registered.reject(unavailable("Cannot register a plugin: its connection has ended"));
    });
  }

  /** NN-name. */
  get name(): string {
    return this.#name === undefined ? "unregistered" : shownName(this.#name);
  }

  get index(): string {
    return this.#name?.index ?? "";
  }

  get base(): string {
    return this.#name?.base ?? "";
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  wants(event: Event): boolean {
    return !this.#isClosed && (this.#events & (1 << (event - 1))) !== 0;
  }

  /** Waits for the registration and configures the plugin. @throws whatever is wrong with it */
  async start(): Promise<void> {
    const { registrationTimeoutMs, requestTimeoutMs, config, runtimeName, runtimeVersion } = this.#options;
    const registered = withSignal(this.#registered.promise, AbortSignal.timeout(registrationTimeoutMs));
    this.#name = await registered;
    const { events } = await this.#client.call(
      PluginService.method.configure,
      {
        config,
        runtimeName,
        runtimeVersion,
        registrationTimeout: BigInt(registrationTimeoutMs),
        requestTimeout: BigInt(requestTimeoutMs),
        NRIVersion: NRI_VERSION,
      },
      { timeoutMs: requestTimeoutMs },
    );
    if ((events & ~ALL_EVENTS) !== 0) {
      throw invalidArgument(`Cannot configure plugin ${this.name}: want known events, got ${events}`, {
        subject: this.name,
        reason: "nri-bad-events",
      });
    }
    this.#wantsAll = events === 0;
    this.#events = this.#wantsAll ? ALL_EVENTS : events;
  }

  /**
   * One call within the request's timeout, or `timeoutMs`. Undefined: the plugin hung, crashed or talked nonsense, and is disconnected.
   * @throws what the plugin answered, and CANCELED by `signal`
   */
  async call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    options: { readonly signal?: AbortSignal | undefined; readonly timeoutMs?: number } = {},
  ): Promise<MessageShape<O> | undefined> {
    try {
      return await this.#attempt(method, request, options);
    } catch (thrown) {
      // Who asked for all events at once need not have a call for each: it has no opinion.
      const isLeftOut = this.#wantsAll && LazuliError.from(thrown).code === "UNIMPLEMENTED";
      if (isLeftOut) return create(method.output);
      throw thrown;
    }
  }

  async #attempt<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    options: { readonly signal?: AbortSignal | undefined; readonly timeoutMs?: number },
  ): Promise<MessageShape<O> | undefined> {
    if (this.#isClosed) return undefined;
    try {
      return await this.#client.call(method, request, {
        signal: options.signal,
        timeoutMs: options.timeoutMs ?? this.#options.requestTimeoutMs,
      });
    } catch (thrown) {
      const error = LazuliError.from(thrown);
      if (!isFatal(error) || options.signal?.aborted) throw error;
      log.error("An NRI plugin is disconnected: it failed a call", {
        plugin: this.name,
        call: method.name,
        error: error.message,
      });
      this.close();
      return undefined;
    }
  }

  /** As call(), for an event that older plugins take as a change of state. */
  async tell(event: Event, method: DescMethodUnary, subject: EventSubject): Promise<void> {
    if (!this.#missing.has(event)) {
      try {
        await this.#attempt(method as EventMethod, subject, {});
        return;
      } catch (thrown) {
        if (LazuliError.from(thrown).code !== "UNIMPLEMENTED") throw thrown;
        this.#missing.add(event);
      }
    }
    await this.call(PluginService.method.stateChange, { ...subject, event });
  }

  close(): void {
    this.#isClosed = true;
    this.#mux.close();
  }

  #register({ pluginName, pluginIdx }: RegisterPluginRequest): Record<string, never> {
    const name = this.#options.name ?? { index: pluginIdx, base: pluginName };
    try {
      checkPluginName(name);
    } catch (thrown) {
      // It is disconnected after it was told why.
      setImmediate(() => this.#registered.reject(thrown));
      throw thrown;
    }
    this.#registered.resolve(name);
    return {};
  }

  async #update(request: UpdateContainersRequest): Promise<{ failed: ContainerUpdate[] }> {
    if (this.#events === 0) {
      throw failedPrecondition(
        "Cannot update containers: want a configured plugin, got one that is not yet",
        {
          subject: this.name,
          reason: "nri-not-configured",
        },
      );
    }
    return { failed: [...(await this.#options.onUpdate(request, this.name))] };
  }
}

/** After these nothing that the plugin says can be relied on. */
function isFatal({ code, reason }: LazuliError): boolean {
  return (
    code === "DEADLINE_EXCEEDED" ||
    ["ttrpc-closed", "ttrpc-bad-answer", "ttrpc-answer-too-long", "ttrpc-too-many-calls"].includes(
      reason ?? "",
    )
  );
}
