import {
  booleanField,
  countField,
  delayField,
  durationField,
  mandatoryTextField,
  optionalBooleanField,
  optionalChoiceField,
  optionalCountField,
  optionalPathField,
  optionalTextField,
  optionsField,
  pathField,
  pathsField,
  socketField,
  textField,
  textsField,
  textTableField,
} from "./config-fields.js";

/** containerd's names and defaults throughout, so that what its documentation says of a key holds here. */
export const cri = {
  disable: booleanField({
    key: "disable",
    initial: false,
    meaning: "Do not serve CRI: for nodes without Kubernetes.",
  }),
  streamServerAddress: textField({
    key: "stream_server_address",
    initial: "127.0.0.1",
    meaning: "Address on which exec, attach and port-forward are served to the kubelet.",
  }),
  streamServerPort: countField({
    key: "stream_server_port",
    min: 0,
    max: 65_535,
    initial: 0,
    meaning: "Its port. With 0 the kernel chooses a free one.",
  }),
  streamIdleTimeoutMs: durationField({
    key: "stream_idle_timeout",
    initial: "4h",
    meaning: "A stream on which nothing moves for this long is ended.",
  }),
  enableTlsStreaming: booleanField({
    key: "enable_tls_streaming",
    initial: false,
    meaning:
      "Serve streams with TLS: by the key pair below, else by a certificate that is made at each start.",
  }),
  tlsCertFile: optionalPathField({
    key: "tls_cert_file",
    example: "/etc/lazuli/stream.crt",
    meaning: "Certificate of the stream server, in PEM.",
  }),
  tlsKeyFile: optionalPathField({
    key: "tls_key_file",
    example: "/etc/lazuli/stream.key",
    meaning: "Its private key, in PEM.",
  }),
} as const;

export const criImages = {
  snapshotter: textField({
    key: "snapshotter",
    initial: "overlayfs",
    meaning: "The snapshotter that images are unpacked into, unless the runtime of a pod has its own.",
  }),
  discardUnpackedLayers: booleanField({
    key: "discard_unpacked_layers",
    initial: false,
    meaning: "Let the collector take the compressed layers of an image once they are unpacked.",
  }),
  maxConcurrentDownloads: countField({
    key: "max_concurrent_downloads",
    min: 1,
    max: 64,
    initial: 3,
    meaning: "Layers of one image that are fetched at once.",
  }),
  imagePullProgressTimeoutMs: durationField({
    key: "image_pull_progress_timeout",
    initial: "5m",
    meaning: "A pull that brings no byte for this long fails.",
  }),
  imagePullWithSyncFs: booleanField({
    key: "image_pull_with_sync_fs",
    initial: false,
    meaning: "Wait after unpacking until the layer is on the disk.",
  }),
  statsCollectPeriodSeconds: countField({
    key: "stats_collect_period",
    min: 1,
    max: 3600,
    initial: 10,
    meaning: "Seconds between two looks at how much room snapshots take.",
  }),
  pinnedImages: textTableField({
    key: "pinned_images",
    initial: { sandbox: "registry.k8s.io/pause:3.10.2" },
    meaning: "Images that the kubelet does not remove; `sandbox` is the one that holds a pod's namespaces.",
  }),
} as const;

export const criRuntime = {
  defaultRuntimeName: textField({
    key: "default_runtime_name",
    initial: "runc",
    meaning: "The table of `[cri.runtime.runtimes]` for pods that ask for no runtime class.",
  }),
  enableSelinux: booleanField({
    key: "enable_selinux",
    initial: false,
    meaning: "Give containers SELinux labels.",
  }),
  selinuxCategoryRange: countField({
    key: "selinux_category_range",
    min: 1,
    max: 1024,
    initial: 1024,
    meaning: "Categories from which a pod's pair is drawn.",
  }),
  maxContainerLogLineBytes: countField({
    key: "max_container_log_line_size",
    min: 1,
    max: 1024 * 1024,
    initial: 16_384,
    meaning: "Bytes of a container's output after which a log line is cut, and goes on as a further one.",
  }),
  disableApparmor: booleanField({
    key: "disable_apparmor",
    initial: false,
    meaning: "Start containers without AppArmor, even if the node has it and the pod asks for a profile.",
  }),
  restrictOomScoreAdj: booleanField({
    key: "restrict_oom_score_adj",
    initial: false,
    meaning:
      "Never ask for a lower oom_score_adj than the daemon itself has. For daemons without privileges.",
  }),
  disableProcMount: booleanField({
    key: "disable_proc_mount",
    initial: false,
    meaning: "Ignore ProcMount of Kubernetes: /proc is always masked.",
  }),
  unsetSeccompProfile: optionalTextField({
    key: "unset_seccomp_profile",
    example: "runtime/default",
    meaning: "Seccomp profile of containers that ask for none. Without the key they have none.",
  }),
  tolerateMissingHugetlbController: booleanField({
    key: "tolerate_missing_hugetlb_controller",
    initial: true,
    meaning: "Start a container with huge page limits though the node has no hugetlb cgroup.",
  }),
  disableHugetlbController: booleanField({
    key: "disable_hugetlb_controller",
    initial: true,
    meaning: "Leave huge page limits out where the cgroup of the daemon can't set them.",
  }),
  deviceOwnershipFromSecurityContext: booleanField({
    key: "device_ownership_from_security_context",
    initial: false,
    meaning: "Give a container's devices to the user and group that it runs as.",
  }),
  ignoreImageDefinedVolumes: booleanField({
    key: "ignore_image_defined_volumes",
    initial: false,
    meaning: "Make no volumes for the VOLUME lines of an image.",
  }),
  netnsMountsUnderStateDir: booleanField({
    key: "netns_mounts_under_state_dir",
    initial: false,
    meaning: "Keep the pods' network namespaces below the top `state`, and not in /var/run/netns.",
  }),
  enableUnprivilegedPorts: booleanField({
    key: "enable_unprivileged_ports",
    initial: true,
    meaning: "Let every process of a pod with its own network listen on ports below 1024.",
  }),
  enableUnprivilegedIcmp: booleanField({
    key: "enable_unprivileged_icmp",
    initial: true,
    meaning: "Let every process of a pod with its own network send pings.",
  }),
  drainExecSyncIoTimeoutMs: delayField({
    key: "drain_exec_sync_io_timeout",
    initial: "0s",
    meaning:
      "Longest wait for the output of an ExecSync whose process has ended but whose children hold its pipes. With 0s it waits for them.",
  }),
  ignoreDeprecationWarnings: textsField({
    key: "ignore_deprecation_warnings",
    initial: [],
    meaning: "Ids of deprecations that the runtime's status does not report.",
  }),
  ignoreBlockioNotEnabledErrors: booleanField({
    key: "ignore_blockio_not_enabled_errors",
    initial: false,
    meaning: "Start containers that ask for a block I/O class where there are none.",
  }),
  ignoreRdtNotEnabledErrors: booleanField({
    key: "ignore_rdt_not_enabled_errors",
    initial: false,
    meaning: "Start containers that ask for an RDT class where there are none.",
  }),
  enableCriu: booleanField({
    key: "enable_criu",
    initial: true,
    meaning: "Make and restore checkpoints of containers, where criu is installed.",
  }),
} as const;

/** `[cri.runtime.runtimes.<name>]`. */
export const criRuntimes = {
  runtimeType: mandatoryTextField({
    key: "runtime_type",
    example: "io.containerd.runc.v2",
    meaning: "The shim: `io.containerd.runc.v2` is the program containerd-shim-runc-v2.",
  }),
  runtimePath: optionalPathField({
    key: "runtime_path",
    example: "/usr/local/bin/containerd-shim-runc-v2",
    meaning: "Path of the shim, where it is not found by its name.",
  }),
  podAnnotations: textsField({
    key: "pod_annotations",
    initial: [],
    meaning: "Patterns of pod annotations that are handed to the runtime.",
  }),
  containerAnnotations: textsField({
    key: "container_annotations",
    initial: [],
    meaning: "Patterns of container annotations that are handed to the runtime.",
  }),
  privilegedWithoutHostDevices: optionalBooleanField({
    key: "privileged_without_host_devices",
    example: true,
    meaning: "Give privileged containers no devices of the node.",
  }),
  privilegedWithoutHostDevicesAllDevicesAllowed: optionalBooleanField({
    key: "privileged_without_host_devices_all_devices_allowed",
    example: true,
    meaning: "But let them use all that they make.",
  }),
  cgroupWritable: optionalBooleanField({
    key: "cgroup_writable",
    example: true,
    meaning: "Mount the cgroup file system of a container so that it may write.",
  }),
  baseRuntimeSpec: optionalPathField({
    key: "base_runtime_spec",
    example: "/etc/lazuli/base-spec.json",
    meaning: "File with the OCI spec that each container's is built on.",
  }),
  cniConfDir: optionalPathField({
    key: "cni_conf_dir",
    example: "/etc/cni/net.d",
    meaning: "Network configuration of its pods, in place of that of `[cri.cni]`.",
  }),
  cniMaxConfNum: optionalCountField({
    key: "cni_max_conf_num",
    min: 1,
    max: 64,
    example: 1,
    meaning: "Files of it that are used, in place of that of `[cri.cni]`.",
  }),
  snapshotter: optionalTextField({
    key: "snapshotter",
    example: "overlayfs",
    meaning: "Snapshotter for its pods, in place of that of `[cri.images]`.",
  }),
  sandboxer: textField({
    key: "sandboxer",
    initial: "podsandbox",
    meaning:
      '"podsandbox" holds a pod by a pause container, "shim" leaves it to the shim; others are names of `[proxy_plugins]`.',
  }),
  disablePauseImagePull: optionalBooleanField({
    key: "disable_pause_image_pull",
    example: true,
    meaning: "Do not pull the pause image for its pods.",
  }),
  ioType: optionalChoiceField({
    key: "io_type",
    choices: ["fifo", "streaming"] as const,
    example: "fifo",
    meaning: "How input and output travel. Without the key: by named pipes.",
  }),
  options: optionsField({
    key: "options",
    initial: {},
    meaning:
      "Options of the shim by its own names; those of runc are `BinaryName`, `Root`, `SystemdCgroup`, `NoNewKeyring`, `ShimCgroup`, `IoUid`, `IoGid`, `CriuImagePath` and `CriuWorkPath`.",
  }),
} as const;

export const criCni = {
  binDirs: pathsField({
    key: "bin_dirs",
    initial: ["/opt/cni/bin"],
    meaning: "Folders with CNI plugins.",
  }),
  confDir: pathField({
    key: "conf_dir",
    initial: "/etc/cni/net.d",
    meaning: "Folder with network configurations.",
  }),
  maxConfNum: countField({
    key: "max_conf_num",
    min: 1,
    max: 64,
    initial: 1,
    meaning: "Configurations that are used, in the order of their names.",
  }),
  setupSerially: booleanField({
    key: "setup_serially",
    initial: false,
    meaning: "Set the networks of a pod up one after the other.",
  }),
  confTemplate: optionalPathField({
    key: "conf_template",
    example: "/etc/lazuli/cni.template",
    meaning: "Go template from which the configuration is made once the node's pod network is known.",
  }),
  ipPreference: optionalChoiceField({
    key: "ip_pref",
    choices: ["ipv4", "ipv6", "cni"] as const,
    example: "ipv4",
    meaning: 'Address that is told first; "cni" takes the plugin\'s order. Without the key: ipv4.',
  }),
  useInternalLoopback: booleanField({
    key: "use_internal_loopback",
    initial: false,
    meaning: "Bring the loopback up by the daemon, without the plugin `loopback`.",
  }),
} as const;

export const nri = {
  disable: booleanField({
    key: "disable",
    initial: false,
    meaning: "Run no NRI plugins at all.",
  }),
  disableConnections: booleanField({
    key: "disable_connections",
    initial: false,
    meaning: "Take no plugins that connect by themselves; only those of `plugin_path` run.",
  }),
  socketPath: socketField({
    key: "socket_path",
    initial: "/var/run/nri/nri.sock",
    meaning: "Unix socket on which plugins connect.",
  }),
  pluginPath: pathField({
    key: "plugin_path",
    initial: "/opt/nri/plugins",
    meaning: "Folder with plugins that the daemon starts, named `NN-name`.",
  }),
  pluginConfigPath: pathField({
    key: "plugin_config_path",
    initial: "/etc/nri/conf.d",
    meaning: "Folder with their configurations, `NN-name.conf` or `name.conf`.",
  }),
  registrationTimeoutMs: durationField({
    key: "plugin_registration_timeout",
    initial: "5s",
    meaning: "Longest wait for a plugin to register.",
  }),
  requestTimeoutMs: durationField({
    key: "plugin_request_timeout",
    initial: "2s",
    meaning: "Longest wait for a plugin's answer; one that is slower is dropped.",
  }),
} as const;

const refusal = (key: string, what: string) =>
  booleanField({ key, initial: false, meaning: `Refuse a container of which a plugin has changed ${what}.` });

/** `[nri.default_validator]`. */
export const nriValidator = {
  enable: booleanField({
    key: "enable",
    initial: false,
    meaning: "Check what plugins change in containers by the keys below.",
  }),
  rejectOciHookAdjustment: refusal("reject_oci_hook_adjustment", "the OCI hooks"),
  rejectRuntimeDefaultSeccompAdjustment: refusal(
    "reject_runtime_default_seccomp_adjustment",
    "the runtime's default seccomp profile",
  ),
  rejectUnconfinedSeccompAdjustment: refusal(
    "reject_unconfined_seccomp_adjustment",
    "an unconfined seccomp policy",
  ),
  rejectCustomSeccompAdjustment: refusal("reject_custom_seccomp_adjustment", "the pod's own seccomp profile"),
  rejectNamespaceAdjustment: refusal("reject_namespace_adjustment", "the namespaces"),
  rejectSysctlAdjustment: refusal("reject_sysctl_adjustment", "the sysctls"),
  requiredPlugins: textsField({
    key: "required_plugins",
    initial: [],
    meaning: "Plugins without which no container starts.",
  }),
  tolerateMissingPluginsAnnotation: optionalTextField({
    key: "tolerate_missing_plugins_annotation",
    example: "nri.example/tolerate-missing",
    meaning: "Annotation by which a pod starts without them all the same.",
  }),
} as const;

export const cdi = {
  isEnabled: booleanField({
    key: "enable_cdi",
    initial: true,
    meaning: "Give containers the devices that they ask for by the names of the Container Device Interface.",
  }),
  specDirs: pathsField({
    key: "cdi_spec_dirs",
    initial: ["/etc/cdi", "/var/run/cdi"],
    meaning: "Folders with the specs of such devices; a later one stands above an earlier one.",
  }),
} as const;
