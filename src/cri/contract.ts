import type {
  DescMethodServerStreaming,
  DescMethodUnary,
  JsonValue,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import type {
  ContainerConfig,
  ContainerEventType,
  ContainerStatusSchema,
  PodSandboxConfig,
  RuntimeService,
} from "../../gen/runtime/v1/api_pb.js";
import type { AnyValue } from "../metadata/index.js";
import type { RunConfig } from "../spec/index.js";
import type { RuntimeTable } from "./spec/index.js";
import type { StoredContainer } from "./store.js";

/** Nanoseconds since 1970. */
export type Nanoseconds = bigint;

/** Everything of CRI lives in this containerd namespace. */
export const CRI_NAMESPACE = "k8s.io";

interface Waiting {
  readonly signal?: AbortSignal | undefined;
}

/** What must be known of a pod after a restart; stored as the extension `io.cri-containerd.sandbox.metadata` of its record. */
export interface PodRecord {
  readonly id: string;
  /** `name_namespace_uid_attempt`: taken once at a time. */
  readonly name: string;
  readonly config: PodSandboxConfig;
  /** "" for the default one. */
  readonly runtimeHandler: string;
  readonly createdAt: Nanoseconds;
  /** Who runs it: `podsandbox`, `shim` or a plugged one. */
  readonly sandboxer: string;
  /** Undefined on the host's network. */
  readonly netns: string | undefined;
  /** Pinned user namespace; undefined without one. */
  readonly userns: string | undefined;
  readonly addresses: readonly string[];
  /** What the network's plugin gave; undefined before its end, and on the host's network. */
  readonly cniResult: Readonly<Record<string, unknown>> | undefined;
  /** What UpdatePodSandboxResources gave last: LinuxContainerResources as protobuf's JSON. */
  readonly updated: { readonly overhead: JsonValue; readonly resources: JsonValue } | undefined;
  /** SELinux label of its processes; "" without. */
  readonly processLabel: string;
  /** StopPodSandbox has done all that it does: plugins are not told again. */
  readonly isStopped: boolean;
}

export type PodState = "ready" | "not-ready" | "unknown";

export interface Pod {
  readonly record: PodRecord;
  readonly state: PodState;
  /** Of its pause process; 0 when it does not run. */
  readonly pid: number;
  /** Where a shim serves the pod's tasks; "": in the shim of the pause process. */
  readonly address: string;
}

/** Stored as the extension `io.cri-containerd.container.metadata`. */
export interface ContainerRecord {
  readonly id: string;
  /** `container_pod_namespace_uid_attempt`: taken once at a time. */
  readonly name: string;
  readonly podId: string;
  readonly config: ContainerConfig;
  readonly imageId: string;
  /** Reference that the image was made from, for ContainerStatus. */
  readonly imageReference: string;
  /** "" where it has no log. */
  readonly logPath: string;
  readonly stopSignal: string;
  readonly createdAt: Nanoseconds;
  readonly processLabel: string;
}

export type ContainerState = "created" | "running" | "exited" | "unknown";

export interface CriContainer extends ContainerStatusRecord {
  readonly record: ContainerRecord;
}

/** Stored as the extension `io.cri-containerd.container.status`. */
export interface ContainerStatusRecord {
  readonly state: ContainerState;
  readonly pid: number;
  readonly startedAt: Nanoseconds;
  readonly finishedAt: Nanoseconds;
  readonly exitCode: number;
  /** `Completed`, `Error`, `OOMKilled`, `StartError`, `Unknown`; "" before its end. */
  readonly reason: string;
  readonly message: string;
}

/** An image as CRI counts them: one for each config digest. */
export interface CriImage {
  /** Digest of the config. */
  readonly id: string;
  /** All names in the store with this id: `repo:tag`. */
  readonly repoTags: readonly string[];
  /** `repo@digest`. */
  readonly repoDigests: readonly string[];
  readonly sizeBytes: number;
  readonly isPinned: boolean;
  readonly config: RunConfig;
  /** Chain id of its top layer, the parent of a container's snapshot. */
  readonly chainId: string;
  /** Name of a record in the image store. */
  readonly recordName: string;
}

/** The image half. The same object serves ImageService and the containers. */
export interface CriImages {
  /** By reference, id, or a prefix of an id that is one image's alone; undefined for none. */
  find(reference: string): Promise<CriImage | undefined>;
  list(options?: { readonly reference?: string | undefined }): Promise<readonly CriImage[]>;
  /** Pulls and unpacks it, lazily where it can be. Returns the image's id. @throws INVALID_ARGUMENT, NOT_FOUND, UNAUTHENTICATED … */
  pull(request: PullRequest): Promise<string>;
  /** Nothing happens to an image that is not there. */
  remove(reference: string, options?: Waiting): Promise<void>;
  /** Name of the snapshotter for a runtime handler. */
  snapshotterOf(runtimeHandler: string): string;
}

export interface PullRequest extends Waiting {
  readonly reference: string;
  readonly runtimeHandler: string;
  readonly credential:
    | { readonly username: string; readonly password: string }
    | { readonly identityToken: string }
    | { readonly registryToken: string }
    | undefined;
  /** The only server that gets the credential; "" or left out: the image's registry, and none of its mirrors. */
  readonly serverAddress?: string | undefined;
}

/** Ends of a process's input and output that somebody holds: a websocket, or a buffer of ExecSync. */
export interface ProcessStreams {
  readonly stdin: AsyncIterable<Uint8Array> | undefined;
  /** Resolves when the taker is ready for more. Rejects when it is gone. */
  readonly stdout: ((bytes: Uint8Array) => Promise<void>) | undefined;
  readonly stderr: ((bytes: Uint8Array) => Promise<void>) | undefined;
  /** Sizes of the terminal as they change. */
  readonly resizes: AsyncIterable<{ readonly width: number; readonly height: number }> | undefined;
}

/** What the streaming server asks of the runtime; it knows nothing of containers itself. */
export interface StreamRuntime {
  /** Returns the exit code. @throws NOT_FOUND, FAILED_PRECONDITION */
  exec(request: {
    readonly containerId: string;
    readonly command: readonly string[];
    readonly isTerminal: boolean;
    readonly streams: ProcessStreams;
    readonly signal: AbortSignal;
  }): Promise<number>;
  /** Resolves when the container has ended or the streams are closed. */
  attach(request: {
    readonly containerId: string;
    readonly isTerminal: boolean;
    readonly streams: ProcessStreams;
    readonly signal: AbortSignal;
  }): Promise<void>;
  /** Copies between the stream and 127.0.0.1 (or ::1) in the pod's network namespace, until one side ends. */
  forwardPort(request: {
    readonly podId: string;
    readonly port: number;
    readonly incoming: AsyncIterable<Uint8Array>;
    readonly outgoing: (bytes: Uint8Array) => Promise<void>;
    readonly signal: AbortSignal;
  }): Promise<void>;
}

/** The server that kubelets are sent to. */
export interface StreamServer {
  /** A URL with a token that counts once and for a minute. @throws RESOURCE_EXHAUSTED above 1000 that wait */
  execUrl(request: {
    readonly containerId: string;
    readonly command: readonly string[];
    readonly isTerminal: boolean;
    readonly stdin: boolean;
    readonly stdout: boolean;
    readonly stderr: boolean;
  }): string;
  attachUrl(request: {
    readonly containerId: string;
    readonly isTerminal: boolean;
    readonly stdin: boolean;
    readonly stdout: boolean;
    readonly stderr: boolean;
  }): string;
  forwardPortUrl(request: { readonly podId: string; readonly ports: readonly number[] }): string;
  close(): Promise<void>;
}

/** The pipes of one running container: its log, and those who are attached. Opened again after a restart. */
export interface ContainerIo {
  /** Paths of the FIFOs for the shim; "" for one that there is not. */
  readonly paths: { readonly stdin: string; readonly stdout: string; readonly stderr: string };
  /** Resolves when the output has ended or the streams are gone. */
  attach(streams: ProcessStreams, options: { readonly signal: AbortSignal }): Promise<void>;
  /** Goes on in a new file under the same path, as after a rotation. */
  reopenLog(): Promise<void>;
  /** Resolves when all output is in the log. */
  drained(options?: Waiting): Promise<void>;
  /** Closes them and leaves them where they are, for who takes the process up after a restart. */
  letGo(): Promise<void>;
  /** Removes them also. */
  close(): Promise<void>;
}

type Methods = typeof RuntimeService.method;

/** RPCs as functions of their messages; they throw LazuliError. */
export type Calls<Names extends keyof Methods> = {
  readonly [Name in Names]: Methods[Name] extends DescMethodUnary<infer Input, infer Output>
    ? (
        request: MessageShape<Input>,
        options: { readonly signal: AbortSignal },
      ) => Promise<MessageInitShape<Output>>
    : Methods[Name] extends DescMethodServerStreaming<infer Input, infer Output>
      ? (
          request: MessageShape<Input>,
          options: { readonly signal: AbortSignal },
        ) => AsyncIterable<MessageInitShape<Output>>
      : never;
};

export type PodCalls = Calls<
  | "runPodSandbox"
  | "stopPodSandbox"
  | "removePodSandbox"
  | "podSandboxStatus"
  | "listPodSandbox"
  | "streamPodSandboxes"
  | "updatePodSandboxResources"
>;

export type NodeCalls = Calls<
  "version" | "status" | "runtimeConfig" | "updateRuntimeConfig" | "getContainerEvents"
>;

export type ContainerCalls = Calls<
  | "createContainer"
  | "startContainer"
  | "stopContainer"
  | "removeContainer"
  | "listContainers"
  | "streamContainers"
  | "containerStatus"
  | "updateContainerResources"
  | "reopenContainerLog"
  | "execSync"
  | "exec"
  | "attach"
  | "portForward"
  | "checkpointContainer"
>;

export type StatsCalls = Calls<
  | "containerStats"
  | "listContainerStats"
  | "streamContainerStats"
  | "podSandboxStats"
  | "listPodSandboxStats"
  | "streamPodSandboxStats"
  | "listMetricDescriptors"
  | "listPodSandboxMetrics"
  | "streamPodSandboxMetrics"
>;

/** What pods ask of the containers. */
export interface PodContainers {
  /** Kills those of a pod that still run, and waits until they have ended. */
  stopOfPod(podId: string, options?: Waiting): Promise<void>;
  /** Removes all of a pod, stopped or not. */
  removeOfPod(podId: string, options?: Waiting): Promise<void>;
  /** Takes one up after a restart: asks its shim, opens its pipes, waits for its end, and shows it. State `unknown` if that fails. */
  recover(stored: StoredContainer, options?: Waiting): Promise<void>;
  /** For events and the verbose status of pods. */
  statusOf(container: CriContainer): Promise<MessageInitShape<typeof ContainerStatusSchema>>;
}

/** Tells kubelets what happened; never waits and never throws. `containerId` is the pod's for the pod itself. */
export interface CriEvents {
  publish(event: {
    readonly containerId: string;
    readonly podId: string;
    readonly type: ContainerEventType;
  }): void;
}

export interface RuntimeFeatures {
  readonly hasRecursiveReadOnlyMounts: boolean;
  readonly hasUserNamespaces: boolean;
}

/** One table of `[cri.runtime.runtimes]`. */
export interface RuntimeHandler {
  /** "" in a request is the default's name here. */
  readonly name: string;
  /** For TaskManager: the type, or the path where one is given. */
  readonly runtime: string;
  readonly runtimeType: string;
  readonly options: AnyValue | undefined;
  /** For the specs of its pods and containers. */
  readonly table: RuntimeTable;
  /** Undefined: its shim does not tell, or is not installed. */
  readonly features: RuntimeFeatures | undefined;
  readonly snapshotter: string | undefined;
  readonly sandboxer: string;
  readonly cniConfFolder: string | undefined;
  readonly cniConfMax: number | undefined;
}

export interface RuntimeHandlers {
  readonly all: readonly RuntimeHandler[];
  /** The default for "". @throws INVALID_ARGUMENT `runtime-handler-unknown` */
  find(name: string): RuntimeHandler;
}
