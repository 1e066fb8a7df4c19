import { readFile, readlink } from "node:fs/promises";
import { join } from "node:path";
import { type LinkedSignal, linkSignals, withSignal } from "../async/index.js";
import { deadlineExceeded, failedPrecondition, LazuliError } from "../errors/index.js";
import { log } from "../observe/index.js";
import type { ProcessExit, ProcessName } from "../runtime/index.js";
import { within } from "./container-create.js";
import { openContainerIo } from "./container-io.js";
import { containerFolders, specAny, specOf, stateWord } from "./container-names.js";
import type { ContainerParts } from "./container-parts.js";
import { type ContainerIo, CRI_NAMESPACE, type CriContainer, type ProcessStreams } from "./contract.js";
import { newId } from "./names.js";
import { execProcess } from "./spec/index.js";

export interface ExecRequest {
  readonly containerId: string;
  readonly command: readonly string[];
  readonly isTerminal: boolean;
  readonly streams: ProcessStreams;
  /** Undefined: as long as it takes. */
  readonly timeoutMs?: number | undefined;
  readonly signal: AbortSignal;
}

const SIGKILL = 9;
/** Longest wait for the end and the output of a process that was killed. */
const KILLED_WAIT_MS = 5000;

/** A running container. The texts are containerd's. @throws NOT_FOUND, FAILED_PRECONDITION `container-not-running` */
export function runningContainer({ store }: ContainerParts, id: string, what: string): CriContainer {
  let container: CriContainer;
  try {
    container = store.containers.get(id);
  } catch (thrown) {
    throw within(what, thrown);
  }
  if (container.state === "running") return container;
  throw failedPrecondition(`container is in ${stateWord(container.state)} state`, {
    subject: id,
    reason: "container-not-running",
  });
}

/**
 * Runs a further process in a container and returns its exit code. It is killed with all that it started when the time or
 * the signal ends it.
 * @throws NOT_FOUND, FAILED_PRECONDITION, DEADLINE_EXCEEDED `exec-timeout`
 */
export async function runExec(parts: ContainerParts, request: ExecRequest): Promise<number> {
  const { containerId, command, isTerminal, streams, signal } = request;
  const { tasks, store, now } = parts;
  const container = runningContainer(
    parts,
    containerId,
    `failed to find container ${JSON.stringify(containerId)} in store`,
  );
  const { id } = container.record;
  const wanted = execProcess({ spec: specOf(store.containers.rowOf(id)), command, isTerminal });
  const name: ProcessName = { namespace: CRI_NAMESPACE, id, execId: newId() };
  const io = await openContainerIo({
    id: name.execId,
    folder: join(containerFolders(parts.folders, id).state, "io"),
    hasStdin: streams.stdin !== undefined,
    isTerminal,
    isStdinOnce: true,
    log: undefined,
    closeStdin: () => tasks.closeIo({ ...name, stdin: true }),
    now,
  });
  using ending = linkSignals([signal]);
  let isAdded = false;
  try {
    // Output is taken before the start, so that none is lost; input goes to a shim that reads already.
    const attached = io.attach({ ...streams, stdin: undefined }, { signal: ending.signal });
    await tasks
      .exec(
        { ...name, spec: specAny("Process", wanted), io: { ...io.paths, terminal: isTerminal } },
        { signal },
      )
      .catch((thrown: unknown) => {
        throw within(`failed to create exec ${JSON.stringify(name.execId)}`, thrown);
      });
    isAdded = true;
    // Asked before the start: a process that ends its container leaves a shim that knows neither any more.
    const waiting = new AbortController();
    const ended = tasks.wait(name, { signal: waiting.signal });
    ended.catch(() => undefined); // Whoever waits below is told.
    const pid = await tasks.start(name, { signal }).catch((thrown: unknown) => {
      waiting.abort();
      throw within(`failed to start exec ${JSON.stringify(name.execId)}`, thrown);
    });
    void followSizes(parts, { name, streams, signal: ending.signal });
    const input = io.attach({ ...streams, stdout: undefined, stderr: undefined }, { signal: ending.signal });
    const exitCode = await untilEnd(parts, { request, name, pid, taskPid: container.pid, ended });
    await drain(parts, { io, name, signal });
    ending.abort();
    await Promise.all([attached, input]);
    return exitCode;
  } finally {
    ending.abort();
    if (isAdded) await deleteExec(parts, name);
    await io.close();
  }
}

async function untilEnd(
  parts: ContainerParts,
  {
    request,
    name,
    pid,
    taskPid,
    ended,
  }: {
    readonly request: ExecRequest;
    readonly name: ProcessName;
    readonly pid: number;
    readonly taskPid: number;
    readonly ended: Promise<ProcessExit>;
  },
): Promise<number> {
  const { timeoutMs, signal } = request;
  using deadline: LinkedSignal = linkSignals([signal], timeoutMs);
  try {
    const { exitStatus } = await withSignal(ended, deadline.signal);
    return exitStatus;
  } catch (thrown) {
    if (!deadline.signal.aborted)
      throw within(`failed while waiting for exec ${JSON.stringify(name.execId)}`, thrown);
    await killGroup(pid, taskPid);
    await parts.tasks.kill({ ...name, signalNumber: SIGKILL, all: true }).catch((failed: unknown) => {
      // It may have ended by itself.
      log.debug("Cannot kill an exec", { exec: name.execId, error: LazuliError.from(failed).message });
    });
    await withSignal(ended, AbortSignal.timeout(KILLED_WAIT_MS)).catch(() => undefined); // Deleting it kills it again.
    signal.throwIfAborted();
    throw deadlineExceeded(`timeout ${(timeoutMs ?? 0) / 1000}s exceeded: context deadline exceeded`, {
      subject: name.id,
      reason: "exec-timeout",
      cause: thrown,
    });
  }
}

/**
 * Kills what a process has started, where it leads a group of its own and is one of the container's on this kernel: the
 * pids of a shim with a virtual machine mean nothing here.
 */
async function killGroup(pid: number, taskPid: number): Promise<void> {
  try {
    const [stat, own, task] = await Promise.all([
      readFile(`/proc/${pid}/stat`, "utf8"),
      readlink(`/proc/${pid}/ns/mnt`),
      readlink(`/proc/${taskPid}/ns/mnt`),
    ]);
    const [, , group] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    if (pid > 1 && Number(group) === pid && own === task) process.kill(-pid, SIGKILL);
  } catch {
    // It has ended.
  }
}

/** Output may come from processes that the command left behind. */
async function drain(
  { settings }: ContainerParts,
  {
    io,
    name,
    signal,
  }: { readonly io: ContainerIo; readonly name: ProcessName; readonly signal: AbortSignal },
): Promise<void> {
  const { drainExecSyncIoTimeoutMs: timeoutMs } = settings;
  using deadline = linkSignals([signal], timeoutMs === 0 ? undefined : timeoutMs);
  await io.drained({ signal: deadline.signal }).catch(() => {
    signal.throwIfAborted();
    throw deadlineExceeded(
      `failed to drain exec process ${JSON.stringify(name.execId)} io: failed to drain exec process ${JSON.stringify(name.execId)} io in ${timeoutMs / 1000}s because io is still held by other processes`,
      { subject: name.id, reason: "exec-output-held" },
    );
  });
}

/** Gives a process the sizes of its client's terminal, until the signal or the client ends it. Never rejects. */
export async function followSizes(
  { tasks }: ContainerParts,
  {
    name,
    streams,
    signal,
  }: { readonly name: ProcessName; readonly streams: ProcessStreams; readonly signal: AbortSignal },
): Promise<void> {
  try {
    for await (const { width, height } of streams.resizes ?? []) {
      if (signal.aborted) return;
      await tasks.resizePty({ ...name, width, height }, { signal });
    }
  } catch (thrown) {
    // A terminal of another size is no reason to end the command.
    log.debug("Cannot resize a terminal", { container: name.id, error: LazuliError.from(thrown).message });
  }
}

async function deleteExec({ tasks }: ContainerParts, name: ProcessName): Promise<void> {
  try {
    await tasks.deleteProcess(name);
  } catch (thrown) {
    if (LazuliError.from(thrown).code === "NOT_FOUND") return;
    await tasks.kill({ ...name, signalNumber: SIGKILL, all: true }).catch(() => undefined); // It has ended meanwhile.
    await tasks
      .wait(name, { signal: AbortSignal.timeout(KILLED_WAIT_MS) })
      .then(() => tasks.deleteProcess(name))
      .catch((failed: unknown) => {
        log.warn("Cannot delete an exec", { exec: name.execId, error: LazuliError.from(failed).message });
      });
  }
}
