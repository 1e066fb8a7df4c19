import { linkSignals } from "../async/index.js";
import { failedPrecondition } from "../errors/index.js";
import type { ContainerParts } from "./container-parts.js";
import { CRI_NAMESPACE, type StreamRuntime } from "./contract.js";
import { followSizes, runExec, runningContainer } from "./exec.js";
import { forwardPort } from "./forward-port.js";

/** What the streaming server runs for its clients. */
export function containerStreams(parts: ContainerParts): StreamRuntime {
  return {
    exec: async (request) => await runExec(parts, request),
    attach: async (request) => await attach(parts, request),
    forwardPort: async (request) => await forwardPort(parts, request),
  };
}

async function attach(
  parts: ContainerParts,
  { containerId, streams, signal }: Parameters<StreamRuntime["attach"]>[0],
): Promise<void> {
  const { record } = runningContainer(parts, containerId, "failed to find container in store");
  const { io } = parts.lives.of(record.id);
  if (io === undefined) {
    throw failedPrecondition(`Cannot attach to ${record.id}: its pipes are not open`, {
      subject: record.id,
      reason: "container-pipes-lost",
    });
  }
  using ending = linkSignals([signal]);
  const name = { namespace: CRI_NAMESPACE, id: record.id, execId: "" };
  void followSizes(parts, { name, streams, signal: ending.signal });
  try {
    await io.attach(streams, { signal: ending.signal });
  } finally {
    ending.abort();
  }
}
