import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import {
  ContainerEventType,
  type CreateContainerRequest,
  type PodSandboxConfig,
} from "../../gen/runtime/v1/api_pb.js";
import { failedPrecondition, invalidArgument, LazuliError, notFound } from "../errors/index.js";
import { failurePoint, log } from "../observe/index.js";
import type { Snapshotter } from "../snapshotters/index.js";
import type { Accounts, RuntimeSpec } from "../spec/index.js";
import { containerFolders, rootfsFolder, specAny, stateWord, stopSignalOf } from "./container-names.js";
import type { ContainerParts } from "./container-parts.js";
import { carryOut, nriContainer, nriSubject } from "./container-plugins.js";
import { fillVolume, mappingLabels, prepareOrFind, readAccounts, withRootfs } from "./container-rootfs.js";
import type { ImageVolumes } from "./container-volumes.js";
import {
  type ContainerRecord,
  CRI_NAMESPACE,
  type CriContainer,
  type CriImage,
  type Pod,
  type RuntimeHandler,
} from "./contract.js";
import { containerName, newId } from "./names.js";
import { type ContainerSpec, containerSpec, type UserMappings, userMappings } from "./spec/index.js";

const prepared = failurePoint("cri.container.prepared");
const stored = failurePoint("cri.container.stored");

/** Longest life of what holds a new container's snapshot, should we die before its record does. */
const LEASE_MS = 60 * 60 * 1000;
const KIND_LABEL = "io.cri-containerd.kind";
/** Bytes of a label's key and value together, as containerd's store takes them. */
const LABEL_BYTES_MAX = 4096;

type CreateParts = ContainerParts & { readonly volumes: ImageVolumes };

interface Creation {
  readonly id: string;
  readonly request: CreateContainerRequest;
  readonly config: ContainerRecord["config"];
  readonly podConfig: PodSandboxConfig;
  readonly pod: Pod;
  readonly image: CriImage;
  readonly handler: RuntimeHandler;
  readonly snapshotterName: string;
  readonly snapshotter: Snapshotter;
  readonly signal: AbortSignal;
}

/** Undone in the opposite order when a later step fails. */
type Undo = (step: () => Promise<unknown>) => void;

/** CreateContainer: all of it, or nothing is left. Returns the id. */
export async function createContainer(
  parts: CreateParts,
  request: CreateContainerRequest,
  signal: AbortSignal,
): Promise<string> {
  const { store } = parts;
  const { pod, config, podConfig, name } = checked(parts, request);
  const id = newId();
  try {
    store.containers.reserve({ name, id });
  } catch (thrown) {
    const { code, message } = LazuliError.from(thrown);
    throw new LazuliError(
      code,
      `failed to reserve container name ${JSON.stringify(name)}; check if another CreateContainer request is in progress: ${message}`,
      { subject: name, reason: "cri-name-taken", cause: thrown },
    );
  }
  const undos: (() => Promise<unknown>)[] = [() => Promise.resolve(store.containers.release({ name, id }))];
  try {
    const image = await imageOf(parts, config.image?.image ?? "");
    const handler = parts.handlers.find(pod.record.runtimeHandler);
    const snapshotterName = parts.images.snapshotterOf(pod.record.runtimeHandler);
    const lease = await holdSnapshot(parts, id);
    undos.push(() => parts.leases.delete({ namespace: CRI_NAMESPACE, id: lease }));
    const snapshotter = snapshotterOf(parts, snapshotterName).for({ namespace: CRI_NAMESPACE, lease });
    const creation = {
      id,
      request,
      config,
      podConfig,
      pod,
      image,
      handler,
      snapshotterName,
      snapshotter,
      signal,
    };
    const container = await createStored(parts, creation, { name, undo: (step) => undos.push(step) });
    await parts.leases.delete({ namespace: CRI_NAMESPACE, id: lease }).catch((thrown: unknown) => {
      // It expires by itself; the container has its own hold of the snapshot now.
      log.warn("Cannot delete the lease of a container", { container: id, error: String(thrown) });
    });
    parts.criEvents.publish({
      containerId: id,
      podId: pod.record.id,
      type: ContainerEventType.CONTAINER_CREATED_EVENT,
    });
    await parts.nri?.postCreateContainer(nriSubject(parts, container)).catch(logPlugin(id));
    return id;
  } catch (thrown) {
    for (const undo of undos.reverse()) {
      await undo().catch((failed: unknown) => {
        log.warn("Cannot take back a part of a container", {
          container: id,
          error: LazuliError.from(failed).message,
        });
      });
    }
    throw thrown;
  }
}

async function createStored(
  parts: CreateParts,
  creation: Creation,
  { name, undo }: { readonly name: string; readonly undo: Undo },
): Promise<CriContainer> {
  const { id, image, handler, snapshotterName, snapshotter, signal } = creation;
  const folders = containerFolders(parts.folders, id);
  for (const folder of [folders.root, folders.state]) {
    undo(async () => await rm(folder, { recursive: true, force: true }));
    await mkdir(folder, { recursive: true, mode: 0o755 });
  }
  const mapping = userMappings(creation.config.linux?.securityContext?.namespaceOptions?.usernsOptions);
  undo(async () => await snapshotter.remove(id).catch(ignoreMissing));
  const mounts = await prepareOrFind(snapshotter, {
    key: id,
    parent: image.chainId,
    labels: mappingLabels(mapping),
    signal,
  });
  prepared.pass();
  const { binding } = parts;
  const mount = { binding, folder: rootfsFolder(parts.folders), signal };
  const made = await withRootfs(mount, mounts, async (root) => {
    const built = await specFor(parts, creation, { accounts: await readAccounts(binding, root), mapping });
    for (const volume of built.volumes) await fillVolume(binding, { ...volume, root, signal });
    return built;
  });
  const withDevices = await parts.devices.inject(made.spec, parts.isCdiEnabled ? made.cdiDevices : []);
  const config = await withImageIds(parts, creation.config);
  const record = recordOf(
    { ...creation, config },
    { name, processLabel: made.processLabel, now: parts.now() },
  );
  const container: CriContainer = { record, ...newStatus };
  const spec = await adjusted(parts, { container, spec: withDevices, undo, signal });
  await parts.store.containers.add(container, {
    image: image.recordName,
    runtime: { name: handler.runtime, options: handler.options },
    spec: specAny("Spec", spec),
    snapshotter: snapshotterName,
    snapshotKey: id,
    labels: labelsOf(creation.config.labels, image.config.labels),
  });
  undo(async () => await parts.store.containers.remove(id));
  stored.pass();
  return container;
}

const newStatus = {
  state: "created",
  pid: 0,
  startedAt: 0n,
  finishedAt: 0n,
  exitCode: 0,
  reason: "",
  message: "",
} as const;

interface Checked {
  readonly pod: Pod;
  readonly config: ContainerRecord["config"];
  readonly podConfig: PodSandboxConfig;
  readonly name: string;
}

/** The texts are containerd's. @throws NOT_FOUND, FAILED_PRECONDITION, INVALID_ARGUMENT */
function checked({ store }: ContainerParts, request: CreateContainerRequest): Checked {
  const { podSandboxId: podId, config, sandboxConfig } = request;
  const pod = store.pods.find(podId);
  if (pod === undefined) {
    throw notFound(`failed to find sandbox id ${JSON.stringify(podId)}`, {
      subject: podId,
      reason: "cri-missing",
    });
  }
  if (pod.state !== "ready") {
    throw failedPrecondition(`sandbox container ${JSON.stringify(pod.record.id)} is not running`, {
      subject: pod.record.id,
      reason: "pod-not-ready",
    });
  }
  if (config?.metadata === undefined) {
    throw invalidArgument("container config must include metadata", { reason: "container-config-invalid" });
  }
  if (sandboxConfig?.metadata === undefined) {
    throw invalidArgument("pod sandbox config must include metadata", { reason: "container-config-invalid" });
  }
  stopSignalOf(config.stopSignal);
  for (const [key, value] of Object.entries(config.labels)) {
    const bytes = Buffer.byteLength(key) + Buffer.byteLength(value);
    if (bytes <= LABEL_BYTES_MAX) continue;
    throw invalidArgument(
      `label key and value length (${bytes} bytes) greater than maximum size (${LABEL_BYTES_MAX} bytes), key: ${key.slice(0, 64)}`,
      { subject: key.slice(0, 64), reason: "label-too-long" },
    );
  }
  return {
    pod,
    config,
    podConfig: sandboxConfig,
    name: containerName(config.metadata, sandboxConfig.metadata),
  };
}

async function imageOf({ images }: ContainerParts, reference: string): Promise<CriImage> {
  const image = await images.find(reference);
  if (image !== undefined) return image;
  throw notFound(`failed to resolve image ${JSON.stringify(reference)}`, {
    subject: reference,
    reason: "image-missing",
  });
}

function snapshotterOf({ snapshotters }: ContainerParts, name: string) {
  const found = snapshotters.get(name);
  if (found !== undefined) return found;
  throw notFound(`snapshotter ${name} is not loaded`, { subject: name, reason: "snapshotter-missing" });
}

/** Keeps the collector from the snapshot until the container's record does. */
async function holdSnapshot({ leases, now }: ContainerParts, id: string): Promise<string> {
  const lease = `cri-container-${id}`;
  const expire = new Date(Number(now() / 1_000_000n) + LEASE_MS).toISOString();
  await leases.create({ namespace: CRI_NAMESPACE, id: lease, labels: { "containerd.io/gc.expire": expire } });
  return lease;
}

async function specFor(
  parts: CreateParts,
  creation: Creation,
  files: { readonly accounts: Accounts; readonly mapping: UserMappings | undefined },
): Promise<ContainerSpec> {
  const { id, config, image, pod, podConfig, handler, snapshotterName, signal } = creation;
  const { store, settings, volumes } = parts;
  const { id: podId, processLabel } = pod.record;
  try {
    return await containerSpec({
      id,
      config,
      imageConfig: image.config,
      imageName: config.image?.userSpecifiedImage || image.recordName,
      accounts: files.accounts,
      pod: {
        id: podId,
        config: podConfig,
        pid: pod.pid,
        processLabel,
        files: parts.podFilesOf(podId),
      },
      targetPid: (target) => Promise.resolve(targetOf(store, { podId, target }).pid),
      volumesFolder: join(containerFolders(parts.folders, id).root, "volumes"),
      mountImage: ({ image: reference }) =>
        volumes.mount({ reference, podId, snapshotterName, mapping: files.mapping, signal }),
      isCdiEnabled: parts.isCdiEnabled,
      runtime: handler.table,
      settings,
      host: volumes.host,
    });
  } catch (thrown) {
    throw within(`failed to generate container ${JSON.stringify(id)} spec`, thrown);
  }
}

/** The running container of this pod whose processes another one wants to see. @throws NOT_FOUND, INVALID_ARGUMENT, FAILED_PRECONDITION */
export function targetOf(
  store: ContainerParts["store"],
  { podId, target }: { readonly podId: string; readonly target: string },
): CriContainer {
  const found = store.containers.find(target);
  if (found === undefined) {
    throw notFound(`invalid target container: container ${JSON.stringify(target)} does not exist`, {
      subject: target,
      reason: "cri-missing",
    });
  }
  const { id, podId: owner } = found.record;
  if (owner !== podId) {
    throw invalidArgument(
      `invalid target container: container ${JSON.stringify(id)} (sandbox ${owner}) does not belong to sandbox ${podId}`,
      { subject: id, reason: "target-elsewhere" },
    );
  }
  if (found.state !== "running") {
    throw failedPrecondition(
      `invalid target container: container ${JSON.stringify(id)} is not running - in state ${stateWord(found.state)}`,
      { subject: id, reason: "target-not-running" },
    );
  }
  return found;
}

/** The spec as plugins want it. What they gave is taken back by undo. */
async function adjusted(
  parts: ContainerParts,
  options: {
    readonly container: CriContainer;
    readonly spec: RuntimeSpec;
    readonly undo: Undo;
    readonly signal: AbortSignal;
  },
): Promise<RuntimeSpec> {
  const { nri } = parts;
  const { container, spec, undo, signal } = options;
  if (nri === undefined || !nri.isActive) return spec;
  const { pod } = nriSubject(parts, container, spec);
  const subject = { pod, container: { ...nriContainer(container, spec), spec } };
  undo(async () => {
    await nri.stopContainer(subject);
    await nri.removeContainer(subject);
  });
  const { spec: wanted, ...effects } = await nri.createContainer(subject, { signal });
  await carryOut(parts, effects);
  return wanted;
}

/** The status of a container tells which images its volumes are. */
async function withImageIds(
  { images }: ContainerParts,
  config: Creation["config"],
): Promise<Creation["config"]> {
  if (config.mounts.every(({ image }) => image === undefined)) return config;
  const mounts = config.mounts.map(async (mount) => {
    if (mount.image === undefined) return mount;
    const found = await images.find(mount.image.image);
    return { ...mount, image: { ...mount.image, imageRef: found?.id ?? "" } };
  });
  return { ...config, mounts: await Promise.all(mounts) };
}

function recordOf(
  { id, config, podConfig, pod, image }: Creation,
  rest: { readonly name: string; readonly processLabel: string; readonly now: bigint },
): ContainerRecord {
  const { logDirectory } = podConfig;
  return {
    id,
    name: rest.name,
    podId: pod.record.id,
    config,
    imageId: image.id,
    imageReference: image.recordName,
    logPath: logDirectory === "" || config.logPath === "" ? "" : join(logDirectory, config.logPath),
    stopSignal: stopSignalOf(config.stopSignal) || image.config.stopSignal,
    createdAt: rest.now,
    processLabel: rest.processLabel,
  };
}

/** Those of the image that a store takes and that no part of the node gives a meaning; those of the request win. */
function labelsOf(
  labels: Readonly<Record<string, string>>,
  imageLabels: Readonly<Record<string, string>>,
): Record<string, string> {
  const ofImage = Object.entries(imageLabels).filter(
    ([key, value]) =>
      !/(^|\.)containerd\.io\/|^io\.cri-containerd/.test(key) &&
      Buffer.byteLength(key) + Buffer.byteLength(value) <= LABEL_BYTES_MAX,
  );
  return { ...Object.fromEntries(ofImage), ...labels, [KIND_LABEL]: "container" };
}

/** The same error, said to be of what we did. */
export function within(what: string, thrown: unknown): LazuliError {
  const { code, message, subject, hint, reason } = LazuliError.from(thrown);
  return new LazuliError(code, `${what}: ${message}`, {
    ...(subject === undefined ? {} : { subject }),
    ...(hint === undefined ? {} : { hint }),
    ...(reason === undefined ? {} : { reason }),
    cause: thrown,
  });
}

export function logPlugin(id: string): (thrown: unknown) => void {
  return (thrown) =>
    log.warn("An NRI plugin could not be told of a container", {
      container: id,
      error: LazuliError.from(thrown).message,
    });
}

function ignoreMissing(thrown: unknown): void {
  if (LazuliError.from(thrown).code !== "NOT_FOUND") throw thrown;
}
