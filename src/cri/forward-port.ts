import { once } from "node:events";
import { Socket } from "node:net";
import { failedPrecondition, LazuliError, notFound } from "../errors/index.js";
import type { ContainerParts } from "./container-parts.js";
import type { Pod, StreamRuntime } from "./contract.js";

type ForwardRequest = Parameters<StreamRuntime["forwardPort"]>[0];

/** After one side has ended, the other has this long for the rest. */
const REST_MS = 1000;

/** A pod that forwards. The texts are containerd's. @throws NOT_FOUND, FAILED_PRECONDITION `pod-not-ready` */
export function forwardingPod({ store }: ContainerParts, podId: string): Pod {
  const pod = store.pods.find(podId);
  if (pod === undefined) {
    throw notFound(`failed to find sandbox ${JSON.stringify(podId)}`, {
      subject: podId,
      reason: "cri-missing",
    });
  }
  if (pod.state === "ready") return pod;
  throw failedPrecondition("sandbox container is not running", { subject: podId, reason: "pod-not-ready" });
}

/** Copies between a stream and a port of localhost in a pod's network, until both sides have ended or one has for a second. */
export async function forwardPort(parts: ContainerParts, request: ForwardRequest): Promise<void> {
  const { podId, port, incoming, outgoing, signal } = request;
  const pod = forwardingPod(parts, podId);
  const socket = await connect(parts, { netns: pod.record.netns ?? "", podId, port });
  const abort = (): void => {
    socket.destroy();
  };
  signal.addEventListener("abort", abort, { once: true });
  let timer: NodeJS.Timeout | undefined;
  const limitRest = (): void => {
    timer ??= setTimeout(abort, REST_MS);
  };
  try {
    const inwards = copyIn(socket, incoming).finally(limitRest);
    const outwards = copyOut(socket, outgoing).finally(limitRest);
    await Promise.all([outwards, Promise.race([inwards, once(socket, "close")])]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", abort);
    socket.destroy();
  }
}

async function connect(
  { binding }: ContainerParts,
  { netns, podId, port }: { readonly netns: string; readonly podId: string; readonly port: number },
): Promise<Socket> {
  try {
    const fd = await binding.containers.connect(netns, port);
    const socket = new Socket({ fd, readable: true, writable: true, allowHalfOpen: true });
    socket.setNoDelay(true);
    // A connection that breaks ends the copies.
    socket.on("error", () => undefined);
    return socket;
  } catch (thrown) {
    throw failedPrecondition(
      `failed to execute portforward in network namespace ${JSON.stringify(netns === "" ? "host" : netns)}: failed to connect to localhost:${port} inside namespace ${JSON.stringify(podId)}: ${LazuliError.from(thrown).message}`,
      { subject: podId, reason: "port-unreachable", cause: thrown },
    );
  }
}

async function copyIn(socket: Socket, incoming: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const bytes of incoming) {
    if (socket.destroyed) return;
    if (!socket.write(bytes)) await Promise.race([once(socket, "drain"), once(socket, "close")]);
  }
  socket.end();
}

async function copyOut(socket: Socket, outgoing: (bytes: Uint8Array) => Promise<void>): Promise<void> {
  try {
    for await (const bytes of socket as AsyncIterable<Buffer>) await outgoing(bytes);
  } catch {
    // One of both is gone; what came so far was copied.
  }
}
