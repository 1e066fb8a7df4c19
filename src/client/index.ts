/**
 * A client of any server that speaks containerd's API: containerd, or `lazuli daemon`. See docs/client.md.
 *
 *     using client = connect({ address: "/run/containerd/containerd.sock", namespace: "default" });
 *     const image = await client.pull("docker.io/library/alpine:3.20");
 *     const container = await client.createContainer({ id: "hello", image, args: ["echo", "hello"] });
 *     const task = await container.newTask({ io: { kind: "inherit" } });
 *     await task.start();
 *     const { code } = await task.wait();
 *     await task.outputFinished;
 *     await task.delete();
 *     await container.delete();
 */
export { LazuliError } from "../errors/index.js";
export type { Platform } from "../oci/index.js";
export type { Credential, CredentialProvider } from "../registry/index.js";
export * from "../spec/index.js";
export type { ExportOptions, ImportOptions } from "./archives.js";
export type { CallFacts } from "./call-errors.js";
export { Client, type ConnectOptions, connect, type Filtered } from "./client.js";
export type { Services } from "./connection.js";
export { Container, type NewTaskOptions } from "./containers.js";
export { type CreateContainerOptions, checkContainerId } from "./create-container.js";
export type { ServerEvent } from "./events.js";
export { Image } from "./images.js";
export type { Labels, Target, Waiting } from "./messages.js";
export { hostDevices, ownCapabilities } from "./own-machine.js";
export type { PullOptions, RegistryAccess } from "./pull.js";
export type { OnPullEvent, PullEvent } from "./pull-event.js";
export type { PushOptions } from "./push.js";
export { machinePlatform, type PlatformImage, parsePlatform } from "./read-image.js";
export type { StreamIo, TaskIo } from "./task-io.js";
export {
  ContainerProcess,
  type ExecOptions,
  type ExitStatus,
  type ProcessState,
  type ProcessStatus,
  type Signal,
  signalNumber,
  Task,
} from "./tasks.js";
export type { LazyMode } from "./unpack.js";
export type { LeaseOptions } from "./with-lease.js";
