import { execFile } from "node:child_process";
import { createWriteStream } from "node:fs";
import { access, constants, copyFile, mkdir, rm, writeFile } from "node:fs/promises";
import { delimiter, isAbsolute, join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { promisify } from "node:util";
import { create, toBinary, toJsonString } from "@bufbuild/protobuf";
import { CheckpointOptionsSchema } from "../../gen/containerd/types/runc/options/oci_pb.js";
import { type CheckpointContainerRequest, ContainerStatusSchema } from "../../gen/runtime/v1/api_pb.js";
import type { BlobReader } from "../content/index.js";
import { failedPrecondition, invalidArgument, type LazuliError } from "../errors/index.js";
import type { ContainerRow } from "../metadata/index.js";
import { writeArchive } from "./checkpoint-archive.js";
import { within } from "./container-create.js";
import { statusMessage } from "./container-messages.js";
import { containerFolders, specOf, stateWord } from "./container-names.js";
import type { ContainerParts } from "./container-parts.js";
import { CRI_NAMESPACE, type CriContainer } from "./contract.js";

const run = promisify(execFile);

/** CRIU 3.16, as major * 10000 + minor * 100: the first that can be trusted with containers of a pod. */
const CRIU_VERSION_MIN = 31_600;
const VERSION_TIMEOUT_MS = 10_000;
/** Bytes of the changed files that are read at once. */
const CHUNK_BYTES = 1024 * 1024;

/**
 * CheckpointContainer: an archive of a container that runs on, as checkpointctl reads it: the images of CRIU in `checkpoint`,
 * what it has changed in `rootfs-diff.tar`, and its config, spec, status and log.
 */
export async function checkpointContainer(
  parts: ContainerParts,
  { containerId, location }: CheckpointContainerRequest,
  signal: AbortSignal,
): Promise<void> {
  const { store, settings, tasks } = parts;
  const what = `failed to checkpoint container ${JSON.stringify(containerId)}`;
  const problem = await criuProblem(settings.enableCriu, process.env["PATH"] ?? "");
  if (problem !== undefined) throw unavailable(`${what}: ${problem}`, containerId);
  const container = store.containers.get(containerId);
  const { id } = container.record;
  if (container.state !== "running") {
    throw failedPrecondition(
      `container ${JSON.stringify(id)} is in ${stateWord(container.state)} state. only CONTAINER_RUNNING containers can be checkpointed`,
      { subject: id, reason: "container-not-running" },
    );
  }
  if (!isAbsolute(location)) {
    throw invalidArgument(`${what}: want an absolute path for the archive, got ${JSON.stringify(location)}`, {
      subject: id,
      reason: "checkpoint-location-invalid",
    });
  }
  const folder = join(containerFolders(parts.folders, id).root, "checkpoint");
  await rm(folder, { recursive: true, force: true });
  try {
    const images = join(folder, "checkpoint");
    await mkdir(images, { recursive: true, mode: 0o700 });
    const options = create(CheckpointOptionsSchema, { exit: false, workPath: folder });
    const packed = {
      typeUrl: CheckpointOptionsSchema.typeName,
      value: toBinary(CheckpointOptionsSchema, options),
    };
    await tasks
      .checkpoint({ namespace: CRI_NAMESPACE, id, folder: images, options: packed }, { signal })
      .catch((thrown: unknown) => {
        throw within(`checkpointing container ${JSON.stringify(id)} failed`, thrown);
      });
    await writeFacts(parts, container, folder);
    await writeChanges(parts, {
      row: store.containers.rowOf(id),
      target: join(folder, "rootfs-diff.tar"),
      signal,
    });
    await writeArchive(folder, location);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function unavailable(message: string, containerId: string): LazuliError {
  return failedPrecondition(message, {
    subject: containerId,
    reason: "checkpoint-unavailable",
    hint: "Install CRIU 3.16 or newer, and leave `enable_criu` on",
  });
}

/** Why there is no CRIU to be used, in containerd's words. */
async function criuProblem(isEnabled: boolean, searchPath: string): Promise<string | undefined> {
  if (!isEnabled) return "criu support is disabled by configuration";
  for (const folder of searchPath.split(delimiter).filter(isAbsolute)) {
    const program = join(folder, "criu");
    try {
      await access(program, constants.X_OK);
    } catch {
      continue; // It may lie in the next one.
    }
    const { stdout } = await run(program, ["--version"], { timeout: VERSION_TIMEOUT_MS });
    const [, major = "0", minor = "0"] = /Version: (\d+)\.(\d+)/.exec(stdout) ?? [];
    const version = Number(major) * 10_000 + Number(minor) * 100;
    if (version >= CRIU_VERSION_MIN) return undefined;
    return `checkpoint/restore requires at least CRIU ${CRIU_VERSION_MIN}, current version is ${version}`;
  }
  return "criu binary not found in shim path or system PATH";
}

async function writeFacts(parts: ContainerParts, container: CriContainer, folder: string): Promise<void> {
  const { record } = container;
  const row = parts.store.containers.rowOf(record.id);
  const spec = specOf(row);
  const image = await parts.images.find(record.imageId);
  const status = statusMessage(container, { image, spec });
  const config = {
    id: record.id,
    name: record.name,
    rootfsImage: status.image?.image ?? "",
    rootfsImageRef: status.imageRef ?? "",
    rootfsImageName: status.image?.image ?? "",
    runtime: row.runtime.name,
    createdTime: timeText(record.createdAt),
    checkpointedTime: timeText(parts.now()),
    restoredTime: "0001-01-01T00:00:00Z",
    restored: false,
  };
  const statusText = toJsonString(ContainerStatusSchema, create(ContainerStatusSchema, status), {
    useProtoFieldName: true,
  });
  const write = async (name: string, text: string): Promise<void> =>
    await writeFile(join(folder, name), text, { mode: 0o600 });
  await write("config.dump", JSON.stringify(config));
  await write("spec.dump", JSON.stringify(spec));
  await write("status.dump", statusText);
  if (record.logPath === "") return;
  await copyFile(record.logPath, join(folder, "container.log")).catch((thrown: NodeJS.ErrnoException) => {
    if (thrown.code !== "ENOENT") throw thrown;
  });
}

function timeText(nanoseconds: bigint): string {
  return new Date(Number(nanoseconds / 1_000_000n)).toISOString();
}

/** What the container has changed of its image, as a layer. */
async function writeChanges(
  { snapshotters, differ, contentOf, leases, now }: ContainerParts,
  {
    row,
    target,
    signal,
  }: { readonly row: ContainerRow; readonly target: string; readonly signal: AbortSignal },
): Promise<void> {
  const id = `cri-checkpoint-${row.id}-${now()}`;
  const snapshotter = snapshotters.get(row.snapshotter)?.for({ namespace: CRI_NAMESPACE, lease: id });
  if (snapshotter === undefined) return;
  await leases.create({ namespace: CRI_NAMESPACE, id, labels: {} });
  try {
    const { parent } = await snapshotter.stat(row.snapshotKey);
    const lower = await snapshotter.view({ key: id, parent, labels: {}, signal });
    const upper = await snapshotter.mounts(row.snapshotKey, { signal });
    const content = contentOf(id);
    const layer = await differ.compare({ lower, upper, mediaType: "", ref: id, labels: {}, content, signal });
    await using blob = await content.open(layer.digest, { signal });
    await pipeline(Readable.from(chunksOf(blob)), createWriteStream(target, { mode: 0o600 }), { signal });
  } finally {
    await snapshotter.remove(id).catch(() => undefined); // The lease kept it: the collector takes it.
    await leases.delete({ namespace: CRI_NAMESPACE, id });
  }
}

async function* chunksOf(blob: BlobReader): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < blob.size; at += CHUNK_BYTES) yield await blob.read(at, CHUNK_BYTES);
}
