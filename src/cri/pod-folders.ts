import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { type DNSConfig, NamespaceMode, type PodSandboxConfig } from "../../gen/runtime/v1/api_pb.js";
import { type MountBinding, mountAll, unmountAll } from "../mounts/index.js";

/** CRI's folders: what survives a reboot, and what does not. */
export interface CriFolders {
  readonly root: string;
  readonly state: string;
}

/** What of one pod lies where. */
export interface PodFolders {
  readonly root: string;
  readonly state: string;
  readonly hostname: string;
  readonly hosts: string;
  readonly resolvConf: string;
  /** A mount, unless the pod has the host's IPC. */
  readonly shm: string;
  /** Where its user namespace is pinned, if it has one. */
  readonly userns: string;
}

/** Only the daemon looks in here; runtimes bind from it. */
const FOLDER_MODE = 0o700;
/** Bytes of a pod's /dev/shm, as docker and containerd give. */
const SHM_BYTES = 64 * 1024 * 1024;

export function podFolders(folders: CriFolders, id: string): PodFolders {
  const root = join(podsFolder(folders.root), id);
  const state = join(podsFolder(folders.state), id);
  return {
    root,
    state,
    hostname: join(root, "hostname"),
    hosts: join(root, "hosts"),
    resolvConf: join(root, "resolv.conf"),
    shm: join(state, "shm"),
    userns: join(state, "pinned-namespaces", "user"),
  };
}

/** The folder with one for each pod, below CRI's root or state. */
export function podsFolder(folder: string): string {
  return join(folder, "sandboxes");
}

/** Makes the pod's folders, the files that its containers see in /etc, and its /dev/shm. */
export async function makePodFiles(request: {
  readonly binding: MountBinding;
  readonly folders: PodFolders;
  readonly config: PodSandboxConfig;
}): Promise<void> {
  const { binding, folders, config } = request;
  await mkdir(folders.root, { recursive: true, mode: FOLDER_MODE });
  await mkdir(folders.state, { recursive: true, mode: FOLDER_MODE });
  await writeFile(folders.hostname, `${config.hostname === "" ? hostname() : config.hostname}\n`);
  await writeFile(folders.hosts, await hostFile("/etc/hosts"));
  const { dnsConfig } = config;
  await writeFile(
    folders.resolvConf,
    dnsConfig === undefined ? await hostFile("/etc/resolv.conf") : resolvConfText(dnsConfig),
  );
  if (config.linux?.securityContext?.namespaceOptions?.ipc === NamespaceMode.NODE) return;
  await mkdir(folders.shm, { mode: 0o700, recursive: true });
  const options = ["nosuid", "nodev", "noexec", "mode=1777", `size=${SHM_BYTES}`];
  await mountAll({
    binding,
    mounts: [{ type: "tmpfs", source: "shm", target: "", options }],
    target: folders.shm,
  });
}

/** Lets go of the mounts; the files stay readable. Safe to call again. */
export async function unmountPodFiles(request: {
  readonly binding: MountBinding;
  readonly folders: PodFolders;
}): Promise<void> {
  const { binding, folders } = request;
  await unmountAll({ binding, target: folders.shm });
}

/** Removes all of the pod. Safe to call again. */
export async function removePodFiles(request: {
  readonly binding: MountBinding;
  readonly folders: PodFolders;
}): Promise<void> {
  const { binding, folders } = request;
  await unmountPodFiles(request);
  await unmountAll({ binding, target: folders.userns });
  for (const folder of [folders.root, folders.state]) {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The format of resolv.conf(5). */
export function resolvConfText({ servers, searches, options }: DNSConfig): string {
  return [
    ...(searches.length === 0 ? [] : [`search ${searches.join(" ")}\n`]),
    ...servers.map((server) => `nameserver ${server}\n`),
    ...(options.length === 0 ? [] : [`options ${options.join(" ")}\n`]),
  ].join("");
}

/** A node may do without such a file. */
async function hostFile(path: string): Promise<Buffer> {
  return await readFile(path).catch((thrown: NodeJS.ErrnoException) => {
    if (thrown.code === "ENOENT") return Buffer.alloc(0);
    throw thrown;
  });
}
