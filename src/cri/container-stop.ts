import { linkSignals } from "../async/index.js";
import { LazuliError } from "../errors/index.js";
import { log } from "../observe/index.js";
import { within } from "./container-create.js";
import { noteExit, unknownExit, watchExit } from "./container-exit.js";
import type { ContainerParts } from "./container-parts.js";
import { CRI_NAMESPACE, type CriContainer } from "./contract.js";
import { signalNumber } from "./signal-number.js";

const SIGKILL = 9;
/** setTimeout() takes no more; about 24 days. */
const TIMEOUT_MS_MAX = 2 ** 31 - 1;
/** Until the end of a container whose shim has gone is known. */
const LOST_SHIM_MS = 10_000;
const DEFAULT_SIGNAL = "SIGTERM";

/** StopContainer: the stop signal, then after the timeout SIGKILL. Nothing happens to one that does not run. */
export async function stopContainer(
  parts: ContainerParts,
  container: CriContainer,
  { timeoutSeconds, signal }: { readonly timeoutSeconds: bigint; readonly signal?: AbortSignal | undefined },
): Promise<void> {
  const { lives } = parts;
  const { id, stopSignal } = container.record;
  if (container.state !== "running" && container.state !== "unknown") return;
  if (container.state === "unknown") {
    if (!parts.tasks.list(CRI_NAMESPACE).some((task) => task.id === id)) {
      await noteExit(parts, id, unknownExit(parts), "Unknown");
      return;
    }
    watchExit(parts, id);
  }
  const life = lives.of(id);
  if (timeoutSeconds > 0n) {
    const timeoutMs = Number(timeoutSeconds > 2_000_000n ? TIMEOUT_MS_MAX : timeoutSeconds * 1000n);
    const number = signalNumber(stopSignal === "" ? DEFAULT_SIGNAL : stopSignal);
    if (!life.isStopSignalled) {
      life.isStopSignalled = true;
      await send(parts, id, number);
    }
    using deadline = linkSignals([signal], timeoutMs);
    try {
      await lives.waitEnded(id, deadline.signal);
      return;
    } catch {
      signal?.throwIfAborted();
      log.info("A container did not stop in time and is killed", { container: id });
    }
  }
  await send(parts, id, SIGKILL);
  await lives.waitEnded(id, signal).catch((thrown: unknown) => {
    throw within(`an error occurs during waiting for container ${JSON.stringify(id)} to be killed`, thrown);
  });
}

/** What has ended meanwhile can't be signalled, and need not; its connection may be closed before its end is stored. */
async function send({ tasks, lives }: ContainerParts, id: string, number: number): Promise<void> {
  try {
    await tasks.kill({ namespace: CRI_NAMESPACE, id, execId: "", signalNumber: number, all: false });
  } catch (thrown) {
    const { code } = LazuliError.from(thrown);
    if (code === "NOT_FOUND") return;
    if (code === "UNAVAILABLE") {
      using patience = linkSignals([], LOST_SHIM_MS);
      const isEnded = await lives.waitEnded(id, patience.signal).then(
        () => true,
        () => false,
      );
      if (isEnded) return;
    }
    throw within(`failed to stop container ${JSON.stringify(id)}`, thrown);
  }
}
