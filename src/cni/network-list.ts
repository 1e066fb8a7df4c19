import { parseJson } from "../bytes/index.js";
import { invalidArgument, LazuliError } from "../errors/index.js";
import { CONF_BYTES_MAX, JSON_BUDGET, PLUGINS_MAX } from "./limits.js";

/** The config of one plugin as it stands in the file; further keys are the plugin's own. */
export type PluginConf = Readonly<Record<string, unknown>> & {
  readonly type: string;
  readonly capabilities?: Readonly<Record<string, boolean>>;
};

/** A network: plugins that are run one behind the other (SPEC.md "Network configuration format"). */
export interface NetworkList {
  readonly cniVersion: string;
  readonly name: string;
  readonly plugins: readonly PluginConf[];
  readonly isCheckDisabled: boolean;
  readonly isCollectionDisabled: boolean;
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]*$/;
/** Also keeps a plugin's file inside the plugin folders. */
const PLUGIN_NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]*$/;
const VERSION = /^\d+\.\d+\.\d+$/;

/** Reads a `.conflist`, or a `.conf` with one plugin. @throws INVALID_ARGUMENT naming the file */
export function parseNetworkList(bytes: Uint8Array, file: string): NetworkList {
  const fail = (wanted: string, got: unknown): never => {
    throw invalidArgument(
      `Cannot read the network ${file}: want ${wanted}, got ${JSON.stringify(got) ?? "nothing"}`,
      {
        subject: file,
        reason: "cni-config-invalid",
        hint: "See the network configuration format in the CNI specification",
      },
    );
  };
  if (bytes.length > CONF_BYTES_MAX) fail(`at most ${CONF_BYTES_MAX} bytes`, bytes.length);
  const conf = objectOf(parsed(bytes, file)) ?? fail("a JSON object", "another value");
  const { name } = conf;
  if (typeof name !== "string" || !NAME.test(name)) return fail("a name of letters, digits, _ . and -", name);
  const cniVersion = conf["cniVersion"] ?? "0.1.0";
  if (typeof cniVersion !== "string" || !VERSION.test(cniVersion))
    return fail("a cniVersion such as 1.0.0", cniVersion);
  const listed = Array.isArray(conf["plugins"]) ? conf["plugins"] : "type" in conf ? [conf] : [];
  if (listed.length === 0 || listed.length > PLUGINS_MAX) fail(`1 to ${PLUGINS_MAX} plugins`, listed.length);
  const plugins = listed.map((one: unknown) => {
    const plugin = objectOf(one);
    const type = plugin?.["type"];
    if (plugin === undefined || typeof type !== "string" || !PLUGIN_NAME.test(type)) {
      return fail("a plugin with the name of its program as type", type);
    }
    return { ...plugin, type } as PluginConf;
  });
  return {
    cniVersion,
    name,
    plugins,
    isCheckDisabled: isTrue(conf["disableCheck"]),
    isCollectionDisabled: isTrue(conf["disableGC"]),
  };
}

/** The loopback interface of a pod, for which nobody writes a config. */
export const loopbackNetwork: NetworkList = {
  cniVersion: "1.0.0",
  name: "cni-loopback",
  plugins: [{ type: "loopback" }],
  isCheckDisabled: false,
  isCollectionDisabled: true,
};

function parsed(bytes: Uint8Array, file: string): unknown {
  try {
    return parseJson(bytes, JSON_BUDGET);
  } catch (thrown) {
    const { message } = LazuliError.from(thrown);
    throw invalidArgument(`Cannot read the network ${file}: want JSON, got: ${message}`, {
      subject: file,
      reason: "cni-config-invalid",
      cause: thrown,
    });
  }
}

function objectOf(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Readonly<Record<string, unknown>>)
    : undefined;
}

/** The specification lets both a boolean and its text stand here. */
function isTrue(value: unknown): boolean {
  return value === true || value === "true";
}
