import type { ContainerConfig, ImageSpec, PodSandboxConfig } from "../../../gen/runtime/v1/api_pb.js";
import type { Accounts, LinuxDevice, RunConfig, RuntimeSpec } from "../../spec/index.js";

/** Keys of `[cri.runtime]` that specs depend on: the table of the configuration fits as it is. */
export interface SpecSettings {
  readonly enableSelinux: boolean;
  readonly disableApparmor: boolean;
  readonly restrictOomScoreAdj: boolean;
  readonly disableProcMount: boolean;
  readonly unsetSeccompProfile: string | undefined;
  readonly tolerateMissingHugetlbController: boolean;
  readonly disableHugetlbController: boolean;
  readonly deviceOwnershipFromSecurityContext: boolean;
  readonly ignoreImageDefinedVolumes: boolean;
  readonly enableUnprivilegedPorts: boolean;
  readonly enableUnprivilegedIcmp: boolean;
  readonly ignoreBlockioNotEnabledErrors: boolean;
  readonly ignoreRdtNotEnabledErrors: boolean;
}

/** A table of `[cri.runtime.runtimes]`, with what its files and its runtime were asked. */
export interface RuntimeTable {
  /** Patterns of Go's path.Match. */
  readonly podAnnotations: readonly string[];
  readonly containerAnnotations: readonly string[];
  readonly privilegedWithoutHostDevices?: boolean | undefined;
  readonly privilegedWithoutHostDevicesAllDevicesAllowed?: boolean | undefined;
  readonly cgroupWritable?: boolean | undefined;
  /** The shim's; of runc's only `SystemdCgroup` counts here. */
  readonly options: Readonly<Record<string, unknown>>;
  /** parseBaseSpec() of the file that `base_runtime_spec` names. */
  readonly baseSpec: RuntimeSpec | undefined;
  /** `runc features` tells it; as Status tells the kubelet. */
  readonly hasRecursiveReadOnlyMounts: boolean;
}

/** What does not change while the daemon runs. */
export interface HostFacts {
  /** Go's name: `amd64`. */
  readonly architecture: string;
  readonly hasCgroupV2: boolean;
  readonly hasSwapController: boolean;
  readonly hasHugetlbController: boolean;
  readonly hasSeccomp: boolean;
  readonly hasApparmor: boolean;
  /** The daemon itself runs in a user namespace. */
  readonly isInUserNamespace: boolean;
  /** Of this process: what privileged containers get. */
  readonly capabilities: readonly string[];
  /** Of this process. */
  readonly oomScoreAdj: number;
  /** Of the mount at /sys/fs/cgroup, which containers without a cgroup namespace share. */
  readonly cgroupMountOptions: readonly string[];
  /** Contexts of lxc_contexts; undefined where SELinux is off. */
  readonly selinux: { readonly process: string; readonly file: string } | undefined;
}

export interface HostMount {
  readonly target: string;
  /** `shared:3`, `master:1`. */
  readonly propagation: readonly string[];
}

/** Reads and prepares what specs need of the node. Tests give tables. */
export interface SpecHost {
  facts(): Promise<HostFacts>;
  hostname(): Promise<string>;
  hasPath(path: string): Promise<boolean>;
  /** With its parents, mode 0755. */
  makeFolder(path: string): Promise<void>;
  realPath(path: string): Promise<string>;
  isFolder(path: string): Promise<boolean>;
  mounts(): Promise<readonly HostMount[]>;
  /** The device at a path, or all below it, with their paths. @throws INVALID_ARGUMENT for what is neither */
  devices(path: string): Promise<readonly LinuxDevice[]>;
  readFile(path: string): Promise<Uint8Array>;
  /** SELinux: gives a tree its label. */
  relabel(path: string, label: string): Promise<void>;
  /** Loads our default profile into the kernel and returns its name. */
  loadDefaultApparmor(): Promise<string>;
  hasApparmorProfile(name: string): Promise<boolean>;
  /** SELinux: a level that no other pod has, `s0:c1,c2`. */
  drawLevel(): string;
}

/** Files of a pod on the node; those that are not there are not mounted. */
export interface PodFiles {
  readonly hosts: string;
  readonly hostname: string;
  readonly resolvConf: string;
  readonly shm: string;
}

export interface PodSpecRequest {
  readonly id: string;
  readonly config: PodSandboxConfig;
  /** Path of the pinned network namespace; undefined on the host's network. */
  readonly netns: string | undefined;
  /** Path of the pinned user namespace; undefined: the runtime makes one if the config asks for it. */
  readonly userns: string | undefined;
  /** Absolute, or `rootfs` below the bundle. */
  readonly rootfsPath: string;
  readonly args: readonly string[];
  /** Of a configured sandbox image, whose environment, folder and user count. */
  readonly image?: RunConfig | undefined;
  readonly imageName: string;
  readonly accounts?: Accounts | undefined;
  readonly files: PodFiles;
  readonly runtime: RuntimeTable;
  readonly settings: SpecSettings;
  readonly host: SpecHost;
}

export interface PodSpec {
  readonly spec: RuntimeSpec;
  /** SELinux label of its processes; "" without. Goes into the pod's record. */
  readonly processLabel: string;
}

export interface ContainerSpecRequest {
  readonly id: string;
  readonly config: ContainerConfig;
  readonly imageConfig: RunConfig;
  /** For the annotation: what the user wrote, if it was told, or the image's name. */
  readonly imageName: string;
  /** passwd and group of the root file system. */
  readonly accounts: Accounts;
  readonly pod: {
    readonly id: string;
    readonly config: PodSandboxConfig;
    /** Of its pause process. */
    readonly pid: number;
    readonly processLabel: string;
    readonly files: PodFiles;
  };
  /** Process of the container whose PID namespace is the target, a running one of this pod. Asked for by TARGET alone. */
  readonly targetPid?: ((containerId: string) => Promise<number>) | undefined;
  /** Folder for the volumes that the image declares: `<container's folder>/volumes`. */
  readonly volumesFolder: string;
  /** Mounts an image for a volume of this pod and returns the folder. */
  readonly mountImage: (image: ImageSpec) => Promise<string>;
  readonly isCdiEnabled: boolean;
  readonly runtime: RuntimeTable;
  readonly settings: SpecSettings;
  readonly host: SpecHost;
}

export interface ContainerSpec {
  readonly spec: RuntimeSpec;
  /** For the device registry, in this order. */
  readonly cdiDevices: readonly string[];
  /** Folders that were made for the image's volumes: the image's files go into them before the start. */
  readonly volumes: readonly { readonly hostPath: string; readonly containerPath: string }[];
  /** SELinux label for the record; a privileged container's spec has none all the same. */
  readonly processLabel: string;
}
