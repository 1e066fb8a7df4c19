import type { Plugin } from "../../gen/containerd/services/introspection/v1/introspection_pb.js";
import { LazuliError } from "../errors/index.js";
import type { Connection } from "./connection.js";
import type { Waiting } from "./messages.js";

/** containerd's when nothing else is said. */
const DEFAULT_SNAPSHOTTER = "overlayfs";
/** Ours: chosen without a word where the server has it, since it needs no full pull. */
const OWN_SNAPSHOTTER = "lazuli";
const SNAPSHOTTER_LABEL = "containerd.io/defaults/snapshotter";
const SNAPSHOTTER_TYPE = "io.containerd.snapshotter.v1";

export async function listPlugins(
  connection: Connection,
  filters: readonly string[],
  { signal }: Waiting = {},
): Promise<readonly Plugin[]> {
  const facts = { action: "list plugins", signal };
  const answer = await connection.read(
    facts,
    async ({ introspection }, options) => await introspection.plugins({ filters: [...filters] }, options),
  );
  return answer.plugins;
}

export interface SnapshotterFacts {
  readonly name: string;
  /** It takes layers that nobody has unpacked. */
  readonly isRemote: boolean;
}

/** The one that is named, else the namespace's default, else ours, else containerd's. @throws NOT_FOUND `snapshotter-unknown` */
export async function chooseSnapshotter(
  connection: Connection,
  wanted: string | undefined,
  { signal }: Waiting = {},
): Promise<SnapshotterFacts> {
  const plugins = (await listPlugins(connection, [`type==${SNAPSHOTTER_TYPE}`], { signal })).filter(
    ({ initErr }) => initErr === undefined || initErr.code === 0,
  );
  const has = (name: string): boolean => plugins.some(({ id }) => id === name);
  const name =
    wanted ??
    (await namespaceDefault(connection, { signal })) ??
    (has(OWN_SNAPSHOTTER) ? OWN_SNAPSHOTTER : DEFAULT_SNAPSHOTTER);
  const plugin = plugins.find(({ id }) => id === name);
  if (plugin === undefined && plugins.length > 0) {
    throw new LazuliError(
      "NOT_FOUND",
      `Cannot use the snapshotter ${JSON.stringify(name)}: the server has none`,
      {
        subject: name,
        reason: "snapshotter-unknown",
        hint: `It has ${plugins.map(({ id }) => id).join(", ")}`,
      },
    );
  }
  return { name, isRemote: plugin?.exports.enable_remote_snapshot_annotations === "true" };
}

async function namespaceDefault(connection: Connection, { signal }: Waiting): Promise<string | undefined> {
  const { namespace } = connection.scope;
  try {
    const answer = await connection.read(
      { action: "look up a namespace", subject: namespace, signal },
      async ({ namespaces }, options) => await namespaces.get({ name: namespace }, options),
    );
    return answer.namespace?.labels[SNAPSHOTTER_LABEL];
  } catch (thrown) {
    // One that nothing was written to yet: containerd 1.6 knows it not.
    if (thrown instanceof LazuliError && thrown.code === "NOT_FOUND") return undefined;
    throw thrown;
  }
}

/** Whether the server moves images by itself, with progress. */
export async function hasTransfer(connection: Connection, { signal }: Waiting = {}): Promise<boolean> {
  const plugins = await listPlugins(connection, ["type==io.containerd.grpc.v1"], { signal });
  const isUsable = (name: string): boolean =>
    plugins.some(({ id, initErr }) => id === name && (initErr === undefined || initErr.code === 0));
  return isUsable("transfer") && isUsable("streaming");
}
