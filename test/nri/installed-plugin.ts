/** A plugin as an administrator installs it: it answers with what it was started with. */
import { Socket } from "node:net";
import { Runtime } from "../../gen/nri/pkg/api/v1alpha1/api_pb.js";
import { pluginOver } from "./test-plugin.js";

const { NRI_PLUGIN_NAME: name = "", NRI_PLUGIN_IDX: index = "", NRI_PLUGIN_SOCKET: fd = "" } = process.env;
let config = "";
const keys = Object.keys(process.env)
  .filter((key) => key.startsWith("NRI_"))
  .sort();
const plugin = pluginOver(new Socket({ fd: Number(fd) }), {
  configure: async (request) => {
    config = request.config;
    return {};
  },
  createContainer: async () => ({
    adjust: { env: [{ key: name, value: `${index} ${config} ${keys} PID=${process.pid}` }] },
  }),
});
await plugin.runtime.call(Runtime.method.registerPlugin, { pluginName: "ignored", pluginIdx: "99" });
