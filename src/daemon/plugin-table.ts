import type { PluginFacts } from "../services/index.js";

/** A part as containerd 2.1 lists it; one with a service is listed when that is served. */
export interface KnownPlugin extends Pick<PluginFacts, "type" | "id" | "requires"> {
  readonly service?: string;
  /** It works on images or processes of this machine's platform. */
  readonly isNative?: boolean;
  readonly capabilities?: readonly string[];
}

const v1 = (word: string): string => `io.containerd.${word}.v1`;
const [grpc, service, metadata, event, lease] = [
  v1("grpc"),
  v1("service"),
  v1("metadata"),
  v1("event"),
  v1("lease"),
];
const [differ, sandboxStore, shim] = [v1("differ"), v1("sandbox.store"), v1("shim")];
const [transfer, streaming, warning] = [v1("transfer"), v1("streaming"), v1("warning")];
const gc = v1("gc");
const snapshotter = v1("snapshotter");
const verifier = v1("image-verifier");
const runtime = "io.containerd.runtime.v2";

const containerd = (word: string, name: string, version = "v1"): string =>
  `containerd.services.${word}.${version}.${name}`;
const services = {
  containers: containerd("containers", "Containers"),
  content: containerd("content", "Content"),
  diff: containerd("diff", "Diff"),
  events: containerd("events", "Events"),
  images: containerd("images", "Images"),
  leases: containerd("leases", "Leases"),
  mounts: containerd("mounts", "Mounts"),
  namespaces: containerd("namespaces", "Namespaces"),
  controllers: containerd("sandbox", "Controller"),
  sandboxes: containerd("sandbox", "Store"),
  snapshots: containerd("snapshots", "Snapshots"),
  streaming: containerd("streaming", "Streaming"),
  tasks: containerd("tasks", "Tasks"),
  transfer: containerd("transfer", "Transfer"),
  version: containerd("version", "Version"),
  health: "grpc.health.v1.Health",
  cri: "runtime.v1.RuntimeService",
};

/** In containerd's order, after the content store and the snapshotters. */
export const knownPlugins: readonly KnownPlugin[] = [
  { type: verifier, id: "bindir", service: services.transfer },
  { type: warning, id: "deprecations" },
  { type: event, id: "exchange" },
  { type: v1("mount-manager"), id: "bolt", service: services.mounts },
  { type: metadata, id: "bolt", requires: [v1("content"), event, snapshotter] },
  { type: gc, id: "scheduler", requires: [metadata] },
  { type: differ, id: "walking", requires: [metadata], isNative: true, service: services.diff },
  { type: lease, id: "manager", requires: [metadata, gc] },
  { type: service, id: "containers-service", requires: [event, metadata], service: services.containers },
  { type: service, id: "content-service", requires: [metadata], service: services.content },
  { type: service, id: "diff-service", requires: [differ], service: services.diff },
  { type: service, id: "images-service", requires: [metadata, gc, warning], service: services.images },
  { type: service, id: "introspection-service", requires: [warning] },
  { type: service, id: "namespaces-service", requires: [event, metadata], service: services.namespaces },
  { type: service, id: "snapshots-service", requires: [metadata], service: services.snapshots },
  { type: shim, id: "manager", requires: [event, metadata], service: services.tasks },
  { type: runtime, id: "task", requires: [shim], isNative: true, service: services.tasks },
  { type: service, id: "tasks-service", requires: [event, runtime, metadata], service: services.tasks },
  { type: grpc, id: "containers", requires: [service], service: services.containers },
  { type: grpc, id: "content", requires: [service], service: services.content },
  { type: grpc, id: "diff", requires: [service], service: services.diff },
  { type: grpc, id: "events", requires: [event], service: services.events },
  { type: grpc, id: "images", requires: [service], service: services.images },
  { type: grpc, id: "introspection", requires: [service] },
  { type: grpc, id: "leases", requires: [lease], service: services.leases },
  { type: grpc, id: "mounts", requires: [v1("mount-manager")], service: services.mounts },
  { type: grpc, id: "namespaces", requires: [service], service: services.namespaces },
  { type: sandboxStore, id: "local", requires: [metadata], service: services.sandboxes },
  { type: v1("cri"), id: "runtime", requires: [warning], isNative: true, service: services.cri },
  {
    type: transfer,
    id: "local",
    requires: [lease, metadata, differ, verifier, snapshotter],
    service: services.transfer,
  },
  {
    type: v1("cri"),
    id: "images",
    requires: [lease, metadata, sandboxStore, service, snapshotter, transfer, warning],
    service: services.cri,
  },
  {
    type: grpc,
    id: "sandbox-controllers",
    requires: [v1("sandbox.controller"), event],
    service: services.controllers,
  },
  { type: grpc, id: "sandboxes", requires: [sandboxStore], service: services.sandboxes },
  { type: grpc, id: "snapshots", requires: [service], service: services.snapshots },
  { type: streaming, id: "manager", requires: [metadata], service: services.streaming },
  { type: grpc, id: "streaming", requires: [streaming], service: services.streaming },
  { type: grpc, id: "tasks", requires: [service], service: services.tasks },
  { type: grpc, id: "transfer", requires: [transfer, streaming], service: services.transfer },
  { type: grpc, id: "version", service: services.version },
  {
    type: v1("monitor.container"),
    id: "restart",
    requires: [event, service],
    capabilities: ["no", "always", "on-failure", "unless-stopped"],
    service: services.tasks,
  },
  { type: grpc, id: "cri", requires: [v1("cri"), event, lease, service], service: services.cri },
  { type: grpc, id: "healthcheck", service: services.health },
];
