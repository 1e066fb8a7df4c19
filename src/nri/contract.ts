import type { RuntimeResources } from "../cdi/index.js";

/** What plugins are told of a pod. */
export interface NriPod {
  readonly id: string;
  readonly name?: string;
  readonly uid?: string;
  /** Of Kubernetes. */
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly runtimeHandler?: string;
  readonly cgroupParent?: string;
  readonly cgroupsPath?: string;
  readonly namespaces?: readonly { readonly type: string; readonly path?: string }[];
  readonly overhead?: RuntimeResources;
  readonly resources?: RuntimeResources;
  /** Of the process that holds the namespaces. */
  readonly pid?: number;
  readonly ips?: readonly string[];
}

export type NriContainerState = "unknown" | "created" | "paused" | "running" | "stopped";

/** What plugins are told of a container. */
export interface NriContainer {
  readonly id: string;
  /** Absent for a container without a pod, as ctr and nerdctl make them. */
  readonly podId?: string;
  readonly name?: string;
  readonly state?: NriContainerState;
  readonly labels?: Readonly<Record<string, string>>;
  /** Default: those of the spec. */
  readonly annotations?: Readonly<Record<string, string>>;
  readonly pid?: number;
  /** Nanoseconds since 1970, as the next two. */
  readonly createdAtNs?: bigint;
  readonly startedAtNs?: bigint;
  readonly finishedAtNs?: bigint;
  readonly exitCode?: number;
  readonly statusReason?: string;
  readonly statusMessage?: string;
  /** Qualified names of CDI devices that were asked for. */
  readonly cdiDevices?: readonly string[];
  readonly image?: { readonly name: string; readonly digest?: string; readonly configDigest?: string };
  readonly seccompProfile?: NriSeccompProfile;
  /** OCI runtime spec, as JSON has it. */
  readonly spec: object;
}

export interface NriSeccompProfile {
  readonly kind: "runtime-default" | "unconfined" | "localhost";
  readonly path?: string;
}

/** Who is meant by a call. */
export interface NriSubject {
  readonly pod?: NriPod | undefined;
  readonly container: NriContainer;
}

/** A plugin wants another container's resources changed. */
export interface NriUpdate {
  readonly containerId: string;
  readonly resources: RuntimeResources;
  readonly blockioClass?: string;
  readonly rdtClass?: string;
  /** It does not matter when it can't be done. */
  readonly isFailureIgnored: boolean;
}

/** A plugin wants a container to be stopped. */
export interface NriEviction {
  readonly containerId: string;
  readonly reason: string;
}

/** What the caller has to do besides its own. */
export interface NriSideEffects {
  readonly updates: readonly NriUpdate[];
  readonly evictions: readonly NriEviction[];
}

export interface NriCreated<Spec extends object> extends NriSideEffects {
  /** A copy of the container's spec with the adjustments, CDI devices included. */
  readonly spec: Spec;
}

export interface NriUpdated extends NriSideEffects {
  /** The resources that were asked for, as plugins changed them. */
  readonly resources: RuntimeResources;
}

/** Everything that runs, for a plugin that comes. */
export interface NriState {
  readonly pods: readonly NriPod[];
  readonly containers: readonly NriContainer[];
}

/** Rules of `default_validator`; each `reject…` refuses a container for which a plugin does so. */
export interface NriValidatorOptions {
  readonly rejectHooks: boolean;
  readonly rejectRuntimeDefaultSeccomp: boolean;
  readonly rejectUnconfinedSeccomp: boolean;
  readonly rejectCustomSeccomp: boolean;
  readonly rejectNamespaces: boolean;
  readonly rejectSysctl: boolean;
  /** Names or NN-names; a container is refused while one is missing. */
  readonly requiredPlugins: readonly string[];
  /** Annotation of a pod by which its containers do without required plugins; empty: none. */
  readonly tolerateMissingAnnotation: string;
}
