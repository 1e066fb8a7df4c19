import { join } from "node:path";
import { Signal, ContainerState as WireState } from "../../gen/runtime/v1/api_pb.js";
import { type RuntimeSpec as AnySpec, parseRuntimeJson, runtimeJson } from "../cdi/index.js";
import { invalidArgument } from "../errors/index.js";
import type { AnyValue, ContainerRow } from "../metadata/index.js";
import type { RuntimeSpec } from "../spec/index.js";
import type { ContainerState } from "./contract.js";
import type { CriFolders } from "./pod-folders.js";

/** How Go's typeurl names parts of the runtime specification in JSON. */
const TYPE_PREFIX = "types.containerd.io/opencontainers/runtime-spec/1/";

export function specAny(kind: "Spec" | "Process" | "LinuxResources", value: object): AnyValue {
  return { typeUrl: `${TYPE_PREFIX}${kind}`, value: runtimeJson(value) };
}

/** @throws INVALID_ARGUMENT */
export function specOf(row: Pick<ContainerRow, "id" | "spec">): RuntimeSpec {
  if (row.spec !== undefined) return parseRuntimeJson(row.spec.value) as AnySpec as unknown as RuntimeSpec;
  throw invalidArgument(`failed to get container spec: ${row.id} has none`, {
    subject: row.id,
    reason: "container-spec-missing",
  });
}

/** Where the files of one container lie: what survives a reboot, and what does not. */
export function containerFolders(folders: CriFolders, id: string): { root: string; state: string } {
  return {
    root: join(containersFolder(folders.root), id),
    state: join(containersFolder(folders.state), id),
  };
}

/** Where root file systems are mounted for a moment. */
export function rootfsFolder(folders: CriFolders): string {
  return join(folders.state, "mounts");
}

/** The folder with one for each container, below CRI's root or state. */
export function containersFolder(folder: string): string {
  return join(folder, "containers");
}

const wireStates = {
  created: WireState.CONTAINER_CREATED,
  running: WireState.CONTAINER_RUNNING,
  exited: WireState.CONTAINER_EXITED,
  unknown: WireState.CONTAINER_UNKNOWN,
} as const satisfies Record<ContainerState, WireState>;

export function wireState(state: ContainerState): WireState {
  return wireStates[state];
}

/** As containerd's messages have it: `CONTAINER_EXITED`. */
export function stateWord(state: ContainerState): string {
  return `CONTAINER_${state.toUpperCase()}`;
}

/** What CRI calls a signal, as images call it: `SIGRTMIN+1`; "" for the default. @throws INVALID_ARGUMENT */
export function stopSignalOf(signal: Signal): string {
  if (signal === Signal.RUNTIME_DEFAULT) return "";
  const name = Signal[signal];
  if (name === undefined) {
    throw invalidArgument(`unknown CRI stop signal ${signal}`, { reason: "stop-signal-unknown" });
  }
  return name.replace("PLUS", "+").replace("MINUS", "-");
}

/** What CRI calls a signal of an image; the default where it has no word for it. */
export function wireSignal(signal: string): Signal {
  if (signal === "") return Signal.SIGTERM;
  const name = signal.replace("+", "PLUS").replace("-", "MINUS");
  const value = (Signal as unknown as Readonly<Record<string, unknown>>)[name];
  return typeof value === "number" ? value : Signal.RUNTIME_DEFAULT;
}
