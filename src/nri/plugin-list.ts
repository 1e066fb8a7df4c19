import { mkdir } from "node:fs/promises";
import type { Socket } from "node:net";
import { dirname } from "node:path";
import type { Duplex } from "node:stream";
import type { ContainerUpdate, UpdateContainersRequest } from "../../gen/nri/pkg/api/v1alpha1/api_pb.js";
import { LazuliError } from "../errors/index.js";
import { log } from "../observe/index.js";
import { type Listener, listenOnSocket } from "../ttrpc/index.js";
import {
  type InstalledPlugin,
  installedPlugins,
  type RunningPlugin,
  startPlugin,
} from "./installed-plugins.js";
import { NriPlugin } from "./plugin.js";
import type { PluginName } from "./plugin-name.js";

/** Connections of plugins from outside, registered or not; a further one is closed as it comes. */
const CONNECTIONS_MAX = 64;

export interface PluginListOptions {
  readonly socketPath?: string | undefined;
  readonly pluginPath?: string | undefined;
  readonly pluginConfigPath: string;
  readonly registrationTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly runtimeName: string;
  readonly runtimeVersion: string;
  readonly onUpdate: (
    request: UpdateContainersRequest,
    plugin: string,
  ) => Promise<readonly ContainerUpdate[]>;
  /** Synchronizes a plugin and calls `join` at the moment from which it gets all events. */
  readonly admit: (plugin: NriPlugin, join: () => void) => Promise<void>;
}

/** The plugins that are connected, in the order in which they are asked. */
export class PluginList {
  readonly #options: PluginListOptions;
  readonly #running = new Map<NriPlugin, RunningPlugin | undefined>();
  /** Those that get events. */
  #members: NriPlugin[] = [];
  #connections = 0;
  #listener: Listener | undefined;
  #isClosing = false;

  constructor(options: PluginListOptions) {
    this.#options = options;
  }

  /** Those that are connected now, by index; of the same index in the order in which they came. */
  get members(): readonly NriPlugin[] {
    this.#members = this.#members.filter(({ isClosed }) => !isClosed);
    return this.#members;
  }

  async open(): Promise<void> {
    const { socketPath, pluginPath, pluginConfigPath } = this.#options;
    if (pluginPath !== undefined) {
      const installed = await installedPlugins({ pluginPath, configPath: pluginConfigPath });
      await Promise.all(installed.map((plugin) => this.#start(plugin)));
    }
    if (socketPath === undefined) return;
    await mkdir(dirname(socketPath), { recursive: true, mode: 0o700 });
    this.#listener = await listenOnSocket({
      socketPath,
      mode: 0o600,
      onConnection: (socket) => this.#connected(socket),
    });
  }

  async close(): Promise<void> {
    this.#isClosing = true;
    const running = [...this.#running];
    for (const [plugin] of running) plugin.close();
    await Promise.all([this.#listener?.close(), ...running.map(([, process]) => process?.end())]);
  }

  async #start(plugin: InstalledPlugin): Promise<void> {
    let running: RunningPlugin;
    try {
      running = startPlugin(plugin);
    } catch (thrown) {
      log.error("An NRI plugin could not be started", {
        path: plugin.path,
        error: LazuliError.from(thrown).message,
      });
      return;
    }
    await this.#admit({ stream: running.stream, name: plugin.name, config: plugin.config, running });
  }

  #connected(socket: Socket): void {
    if (this.#connections >= CONNECTIONS_MAX || this.#isClosing) {
      socket.destroy();
      return;
    }
    this.#connections += 1;
    socket.once("close", () => {
      this.#connections -= 1;
    });
    void this.#admit({ stream: socket, name: undefined, config: "", running: undefined });
  }

  /** Takes in a plugin; one that does not do as it should is disconnected and told in the log. */
  async #admit(arrival: {
    stream: Duplex;
    name: PluginName | undefined;
    config: string;
    running: RunningPlugin | undefined;
  }): Promise<void> {
    const { running, ...connection } = arrival;
    const plugin = new NriPlugin({ ...this.#options, ...connection });
    this.#running.set(plugin, running);
    void plugin.closed.then(async () => {
      if (this.#members.includes(plugin)) log.info("An NRI plugin has gone", { plugin: plugin.name });
      await running?.end();
      this.#running.delete(plugin);
    });
    try {
      await plugin.start();
      await this.#options.admit(plugin, () => this.#join(plugin));
      if (!plugin.isClosed) log.info("An NRI plugin is connected", { plugin: plugin.name });
    } catch (thrown) {
      const { message } = LazuliError.from(thrown);
      log.error("An NRI plugin is disconnected: it could not be started", {
        plugin: plugin.name,
        error: message,
      });
      plugin.close();
    }
  }

  #join(plugin: NriPlugin): void {
    if (plugin.isClosed) return;
    const all = [...this.members, plugin];
    // Two digits each: their order as texts is the one as numbers. sort() is stable.
    this.#members = all.sort((left, right) =>
      left.index < right.index ? -1 : left.index > right.index ? 1 : 0,
    );
  }
}
