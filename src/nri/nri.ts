import { clone, create, type DescMethodUnary } from "@bufbuild/protobuf";
import {
  type Container,
  ContainerSchema,
  type ContainerUpdate,
  Event,
  type LinuxResources,
  LinuxResourcesSchema,
  Plugin as PluginService,
  type PodSandbox,
  type UpdateContainersRequest,
} from "../../gen/nri/pkg/api/v1alpha1/api_pb.js";
import { type Deferred, deferred, KeyedQueue } from "../async/index.js";
import type { DeviceRegistry, RuntimeResources, RuntimeSpec } from "../cdi/index.js";
import { LazuliError, resourceExhausted } from "../errors/index.js";
import { log } from "../observe/index.js";
import { applyAdjustment } from "./apply-adjustment.js";
import { containerMessage, podMessage } from "./container-message.js";
import type {
  NriCreated,
  NriEviction,
  NriPod,
  NriSideEffects,
  NriState,
  NriSubject,
  NriUpdate,
  NriUpdated,
  NriValidatorOptions,
} from "./contract.js";
import { AdjustmentMerge } from "./merge-adjustment.js";
import { nriUpdate, UpdateMerge } from "./merge-updates.js";
import { Owners } from "./owners.js";
import type { EventSubject, NriPlugin } from "./plugin.js";
import { PluginList } from "./plugin-list.js";
import { resourcesMessage, runtimeResources } from "./resources-message.js";
import { synchronizePlugin } from "./synchronize-plugin.js";
import { rejected, validateAdjustment } from "./validate-adjustment.js";

/** Calls that wait for their turn; a further one fails with RESOURCE_EXHAUSTED. */
const WAITING_MAX = 4096;

export interface NriOptions {
  /** As plugins are told it. */
  readonly runtimeName: string;
  readonly runtimeVersion: string;
  /** Where plugins connect; undefined (disable_connections): nowhere. */
  readonly socketPath?: string | undefined;
  /** Folder of plugins that are started here; undefined: none are. */
  readonly pluginPath?: string | undefined;
  readonly pluginConfigPath: string;
  readonly registrationTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly validator?: NriValidatorOptions | undefined;
  readonly devices: DeviceRegistry;
  /** All that is there now, for a plugin that comes. */
  readonly currentState: () => Promise<NriState>;
  /** Does what a plugin asks for by itself, and answers with the ids of containers that could not be updated. */
  readonly onRequest: (request: NriSideEffects & { readonly plugin: string }) => Promise<readonly string[]>;
}

/**
 * NRI plugins of this node. Every call asks the plugins one after the other, by index. A plugin that hangs or crashes
 * is disconnected, and the call goes on without it. Calls of `run…`, `update…`, `create…` and `start…` throw what a
 * plugin refuses; all others only tell it in the log. After a createContainer() that threw, the caller calls
 * stopContainer() and removeContainer().
 */
export interface Nri {
  /** NN-name of each plugin that is connected. */
  readonly plugins: readonly string[];
  /** Whether a call can have an effect: there is a plugin or a validator. */
  readonly isActive: boolean;
  runPodSandbox(pod: NriPod): Promise<void>;
  updatePodSandbox(
    pod: NriPod,
    change: { overhead: RuntimeResources; resources: RuntimeResources },
  ): Promise<void>;
  postUpdatePodSandbox(pod: NriPod): Promise<void>;
  stopPodSandbox(pod: NriPod): Promise<void>;
  removePodSandbox(pod: NriPod): Promise<void>;
  /**
   * @throws FAILED_PRECONDITION (`nri-conflict`), PERMISSION_DENIED (`nri-rejected`), what a plugin refuses, and what
   * DeviceRegistry.inject() throws
   */
  createContainer<Spec extends object>(
    subject: NriSubject & { readonly container: { readonly spec: Spec } },
    options?: { readonly signal?: AbortSignal | undefined },
  ): Promise<NriCreated<Spec>>;
  postCreateContainer(subject: NriSubject): Promise<void>;
  startContainer(subject: NriSubject): Promise<void>;
  postStartContainer(subject: NriSubject): Promise<void>;
  /** @throws FAILED_PRECONDITION (`nri-conflict`), and what a plugin refuses */
  updateContainer(subject: NriSubject, resources: RuntimeResources): Promise<NriUpdated>;
  postUpdateContainer(subject: NriSubject): Promise<void>;
  stopContainer(subject: NriSubject): Promise<readonly NriUpdate[]>;
  removeContainer(subject: NriSubject): Promise<void>;
  /** Keeps plugins from being synchronized while a container is between its creation and `currentState()`. */
  holdSynchronization(): Disposable;
  /** Disconnects all plugins and ends those that were started here. Safe to call twice. */
  close(): Promise<void>;
}

/** Starts the node's plugins, waits for them, and opens the socket for others. */
export async function openNri(options: NriOptions): Promise<Nri> {
  const nri = new NriRuntime(options);
  await nri.open();
  return nri;
}

class NriRuntime implements Nri {
  readonly #options: NriOptions;
  readonly #list: PluginList;
  readonly #turns = new KeyedQueue<"plugins">();
  #waiting = 0;
  #holds = 0;
  #released: Deferred<void> = deferred();

  constructor(options: NriOptions) {
    this.#options = options;
    this.#list = new PluginList({
      ...options,
      onUpdate: (request, plugin) => this.#onUpdate(request, plugin),
      admit: (plugin, join) => this.#synchronize(plugin, join),
    });
  }

  async open(): Promise<void> {
    await this.#list.open();
  }

  get plugins(): readonly string[] {
    return this.#list.members.map(({ name }) => name);
  }

  get isActive(): boolean {
    return this.#list.members.length > 0 || this.#options.validator !== undefined;
  }

  async runPodSandbox(pod: NriPod): Promise<void> {
    await this.#ask(Event.RUN_POD_SANDBOX, PluginService.method.runPodSandbox, { pod });
  }

  async updatePodSandbox(
    pod: NriPod,
    change: { overhead: RuntimeResources; resources: RuntimeResources },
  ): Promise<void> {
    const request = {
      pod: podMessage(pod),
      overheadLinuxResources: resourcesMessage(change.overhead),
      linuxResources: resourcesMessage(change.resources),
    };
    await this.#inTurn(async (plugins) => {
      for (const plugin of plugins.filter((one) => one.wants(Event.UPDATE_POD_SANDBOX))) {
        await plugin.call(PluginService.method.updatePodSandbox, request);
      }
    });
  }

  async postUpdatePodSandbox(pod: NriPod): Promise<void> {
    await this.#notify(Event.POST_UPDATE_POD_SANDBOX, PluginService.method.postUpdatePodSandbox, { pod });
  }

  async stopPodSandbox(pod: NriPod): Promise<void> {
    await this.#notify(Event.STOP_POD_SANDBOX, PluginService.method.stopPodSandbox, { pod });
  }

  async removePodSandbox(pod: NriPod): Promise<void> {
    await this.#notify(Event.REMOVE_POD_SANDBOX, PluginService.method.removePodSandbox, { pod });
  }

  async createContainer<Spec extends object>(
    subject: NriSubject & { readonly container: { readonly spec: Spec } },
    options: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<NriCreated<Spec>> {
    const { spec } = subject.container;
    return await this.#inTurn(async (plugins) => {
      if (plugins.length === 0 && this.#options.validator === undefined)
        return { spec, updates: [], evictions: [] };
      const pod = podMessage(subject.pod);
      const container = containerMessage(subject.container);
      const owners = new Owners();
      const merge = new AdjustmentMerge(clone(ContainerSchema, container), owners);
      const updates = new UpdateMerge({ owners, created: container.id });
      const evictions: NriEviction[] = [];
      for (const plugin of plugins.filter((one) => one.wants(Event.CREATE_CONTAINER))) {
        const request = { pod, container: merge.container };
        const answer = await plugin.call(PluginService.method.createContainer, request, options);
        if (answer === undefined) continue;
        if (answer.adjust !== undefined) merge.add(answer.adjust, plugin.name);
        updates.add(answer.update, plugin.name);
        evictions.push(...answer.evict);
      }
      await this.#validate({ plugins, pod, container, owners, merge, updates });
      const adjusted = structuredClone(spec);
      applyAdjustment(adjusted as RuntimeSpec, merge.adjustment);
      const names = merge.adjustment.CDIDevices.map(({ name }) => name);
      return {
        spec: await this.#options.devices.inject(adjusted, names),
        updates: updates.result(),
        evictions,
      };
    });
  }

  async postCreateContainer(subject: NriSubject): Promise<void> {
    await this.#notify(Event.POST_CREATE_CONTAINER, PluginService.method.postCreateContainer, subject);
  }

  async startContainer(subject: NriSubject): Promise<void> {
    await this.#ask(Event.START_CONTAINER, PluginService.method.startContainer, subject);
  }

  async postStartContainer(subject: NriSubject): Promise<void> {
    await this.#notify(Event.POST_START_CONTAINER, PluginService.method.postStartContainer, subject);
  }

  async updateContainer(subject: NriSubject, resources: RuntimeResources): Promise<NriUpdated> {
    return await this.#inTurn(async (plugins) => {
      if (plugins.length === 0) return { resources, updates: [], evictions: [] };
      const { id } = subject.container;
      const messages = messagesOf(subject);
      const updates = new UpdateMerge({ owners: new Owners() });
      updates.request(id, create(LinuxResourcesSchema, resourcesMessage(resources)));
      const evictions: NriEviction[] = [];
      for (const plugin of plugins.filter((one) => one.wants(Event.UPDATE_CONTAINER))) {
        const linuxResources = updates.resourcesOf(id) as LinuxResources;
        const answer = await plugin.call(PluginService.method.updateContainer, {
          ...messages,
          linuxResources,
        });
        updates.add(answer?.update ?? [], plugin.name);
        evictions.push(...(answer?.evict ?? []));
      }
      const merged = runtimeResources(updates.resourcesOf(id) as LinuxResources);
      return { resources: { ...resources, ...merged }, updates: updates.result({ except: id }), evictions };
    });
  }

  async postUpdateContainer(subject: NriSubject): Promise<void> {
    await this.#notify(Event.POST_UPDATE_CONTAINER, PluginService.method.postUpdateContainer, subject);
  }

  async stopContainer(subject: NriSubject): Promise<readonly NriUpdate[]> {
    return await this.#inTurn(async (plugins) => {
      if (plugins.length === 0) return [];
      const messages = messagesOf(subject);
      const updates = new UpdateMerge({ owners: new Owners() });
      for (const plugin of plugins.filter((one) => one.wants(Event.STOP_CONTAINER))) {
        await toldOnly(plugin, PluginService.method.stopContainer.name, async () => {
          const answer = await plugin.call(PluginService.method.stopContainer, messages);
          updates.add(answer?.update ?? [], plugin.name);
        });
      }
      return updates.result({ except: subject.container.id });
    });
  }

  async removeContainer(subject: NriSubject): Promise<void> {
    await this.#notify(Event.REMOVE_CONTAINER, PluginService.method.removeContainer, subject);
  }

  holdSynchronization(): Disposable {
    this.#holds += 1;
    let isHeld = true;
    return {
      [Symbol.dispose]: () => {
        if (!isHeld) return;
        isHeld = false;
        this.#holds -= 1;
        if (this.#holds > 0) return;
        this.#released.resolve();
        this.#released = deferred();
      },
    };
  }

  async close(): Promise<void> {
    await this.#list.close();
  }

  /** Asks each plugin that wants the event; what one refuses is thrown. */
  async #ask(event: Event, method: DescMethodUnary, subject: Partial<NriSubject>): Promise<void> {
    await this.#inTurn(async (plugins) => {
      const wanting = plugins.filter((plugin) => plugin.wants(event));
      if (wanting.length === 0) return;
      const messages = messagesOf(subject);
      for (const plugin of wanting) await plugin.tell(event, method, messages);
    });
  }

  /** Tells each plugin that wants the event; what one refuses is in the log only. */
  async #notify(event: Event, method: DescMethodUnary, subject: Partial<NriSubject>): Promise<void> {
    await this.#inTurn(async (plugins) => {
      const wanting = plugins.filter((plugin) => plugin.wants(event));
      if (wanting.length === 0) return;
      const messages = messagesOf(subject);
      for (const plugin of wanting) {
        await toldOnly(plugin, method.name, () => plugin.tell(event, method, messages));
      }
    });
  }

  async #validate(validation: {
    readonly plugins: readonly NriPlugin[];
    readonly pod: PodSandbox;
    readonly container: Container;
    readonly owners: Owners;
    readonly merge: AdjustmentMerge;
    readonly updates: UpdateMerge;
  }): Promise<void> {
    const { plugins, pod, container, owners, merge, updates } = validation;
    const { validator } = this.#options;
    if (validator !== undefined) {
      const names = new Set(plugins.flatMap(({ name, base }) => [name, base]));
      validateAdjustment({ pod, container, owners, plugins: names }, validator);
    }
    const validators = plugins.filter((plugin) => plugin.wants(Event.VALIDATE_CONTAINER_ADJUSTMENT));
    const request = {
      pod,
      container,
      adjust: merge.adjustment,
      update: updates.messages(),
      owners: owners.message(),
      plugins: plugins.map(({ base, index }) => ({ name: base, index })),
    };
    const verdicts = validators.map(async (plugin) => {
      const answer = await plugin.call(PluginService.method.validateContainerAdjustment, request);
      // A validator that can't be heard has not agreed.
      if (answer === undefined) throw rejected(container, `validator plugin ${plugin.name} failed`);
      if (!answer.reject) return;
      const reason = answer.reason === "" ? "unknown rejection reason" : answer.reason;
      throw rejected(
        container,
        `validator "${plugin.name}" rejected container adjustment, reason: ${reason}`,
      );
    });
    const ends = await Promise.allSettled(verdicts);
    for (const end of ends) if (end.status === "rejected") throw end.reason;
  }

  async #synchronize(plugin: NriPlugin, join: () => void): Promise<void> {
    for (;;) {
      if (this.#holds > 0) await this.#released.promise;
      const updates = await this.#inTurn(async () => {
        if (this.#holds > 0) return undefined;
        const state = await this.#options.currentState();
        // Part of its joining: one that looks at all that runs may take as long as for its registration.
        const timeoutMs = Math.max(this.#options.registrationTimeoutMs, this.#options.requestTimeoutMs);
        const wanted = await synchronizePlugin(plugin, state, { timeoutMs });
        join();
        return wanted;
      });
      if (updates === undefined) continue;
      if (updates.length > 0) await this.#request(updates, { evictions: [], plugin: plugin.name });
      return;
    }
  }

  async #onUpdate(request: UpdateContainersRequest, plugin: string): Promise<ContainerUpdate[]> {
    return await this.#request(request.update, { evictions: request.evict, plugin });
  }

  /** Lets the daemon do what a plugin wants, and returns the updates that failed and may not. */
  async #request(
    updates: readonly ContainerUpdate[],
    request: { readonly evictions: readonly NriEviction[]; readonly plugin: string },
  ): Promise<ContainerUpdate[]> {
    const wanted = updates.map(({ containerId, linux, ignoreFailure }) =>
      nriUpdate(containerId, {
        resources: linux?.resources ?? create(LinuxResourcesSchema),
        isFailureIgnored: ignoreFailure,
      }),
    );
    const failed = new Set(await this.#options.onRequest({ ...request, updates: wanted }));
    return updates.filter(({ containerId, ignoreFailure }) => failed.has(containerId) && !ignoreFailure);
  }

  /** Plugins see one thing happen after the other. */
  async #inTurn<Value>(work: (plugins: readonly NriPlugin[]) => Promise<Value>): Promise<Value> {
    if (this.#waiting >= WAITING_MAX) {
      throw resourceExhausted(
        `Cannot ask NRI plugins: want at most ${WAITING_MAX} waiting calls, got one more`,
        {
          reason: "nri-too-many-calls",
        },
      );
    }
    this.#waiting += 1;
    try {
      return await this.#turns.run("plugins", () => work(this.#list.members));
    } finally {
      this.#waiting -= 1;
    }
  }
}

function messagesOf(subject: Partial<NriSubject>): EventSubject {
  const { pod, container } = subject;
  return { pod: podMessage(pod), ...(container !== undefined && { container: containerMessage(container) }) };
}

async function toldOnly(plugin: NriPlugin, call: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (thrown) {
    log.warn("An NRI plugin failed a call", {
      plugin: plugin.name,
      call,
      error: LazuliError.from(thrown).message,
    });
  }
}
