import { createClient } from "@connectrpc/connect";
import { Node } from "../../gen/lazuli/v1/node_pb.js";
import { loadConfig } from "../daemon/index.js";
import { grpcOverSocket } from "../grpc/index.js";
import type { CommandInput } from "./command.js";
import { humanBytes } from "./table.js";

/** Longest wait for a number that nobody needs. */
const ASK_TIMEOUT_MS = 2000;

/**
 * How much of an image has come from the registry, for people: `6 % of 87.2 MiB`. Undefined where nobody knows: the
 * server isn't lazuli and has no lazuli beside it, or no layer is lazy.
 */
export async function startShare(
  input: CommandInput,
  image: { readonly address: string; readonly name: string },
): Promise<string | undefined> {
  const { config } = await loadConfig({
    file: input.options.config?.at(-1),
    environment: input.environment,
    flags: {},
  });
  for (const address of new Set([image.address, config.snapshotter.address])) {
    const layers = await explained(address, image.name);
    if (layers === undefined || !layers.some(({ lazy }) => lazy)) continue;
    const lazy = layers.filter((layer) => layer.lazy);
    const fetched = lazy.reduce((sum, { fetchedBytes }) => sum + fetchedBytes, 0);
    const all = lazy.reduce((sum, { blobBytes }) => sum + blobBytes, 0);
    if (all === 0) return undefined;
    return `${Math.min(100, Math.ceil((100 * fetched) / all))} % of ${humanBytes(all)}`;
  }
  return undefined;
}

async function explained(address: string, query: string) {
  using connection = grpcOverSocket(address);
  try {
    const node = createClient(Node, connection.transport);
    return (await node.explain({ query }, { timeoutMs: ASK_TIMEOUT_MS })).layers;
  } catch {
    // containerd has no such service, and an image may have no lazy layer: then there is nothing to tell.
    return undefined;
  }
}
