import { once } from "node:events";
import { connect } from "node:net";
import type { Duplex } from "node:stream";
import { Plugin, Runtime } from "../../gen/nri/pkg/api/v1alpha1/api_pb.js";
import { Mux, muxConnections } from "../../src/nri/mux.js";
import {
  serveTtrpcOver,
  type TtrpcClient,
  type TtrpcHandlers,
  ttrpcClientOver,
  ttrpcService,
} from "../../src/ttrpc/index.js";

export interface TestPlugin {
  readonly runtime: TtrpcClient;
  readonly closed: Promise<void>;
  close(): void;
}

export type PluginHandlers = TtrpcHandlers<typeof Plugin>;

/** A plugin on an open connection, written from the published protocol. It is not registered yet. */
export function pluginOver(stream: Duplex, handlers: PluginHandlers): TestPlugin {
  const mux = new Mux(stream);
  const all: PluginHandlers = {
    configure: async () => ({ events: 0 }),
    synchronize: async ({ more }) => ({ more }),
    ...handlers,
  };
  serveTtrpcOver(mux.channel(muxConnections.plugin), [ttrpcService(Plugin, all)]);
  const runtime = ttrpcClientOver(mux.channel(muxConnections.runtime));
  return { runtime, closed: mux.closed, close: () => mux.close() };
}

/** Connects and registers a plugin; `name` is NN-name. */
export async function connectPlugin(options: {
  readonly socketPath: string;
  readonly name: string;
  readonly handlers: PluginHandlers;
}): Promise<TestPlugin> {
  const socket = connect(options.socketPath);
  await once(socket, "connect");
  const plugin = pluginOver(socket, options.handlers);
  const [pluginIdx = "", pluginName = ""] = options.name.split("-");
  await plugin.runtime.call(Runtime.method.registerPlugin, { pluginIdx, pluginName });
  return plugin;
}
