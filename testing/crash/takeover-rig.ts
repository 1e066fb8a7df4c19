import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { delay } from "../../src/async/index.js";
import { type Digest, sha256 } from "../../src/bytes/index.js";
import { createProxySnapshotter, type ProxySnapshotter } from "../../src/snapshotters/index.js";
import { labelNames } from "../../src/snapshotters/labels.js";
import { sampleFiles, sampleLayer } from "../layer/sample-layer.js";
import { type RegistryServer, startRegistry } from "../registry/index.js";
import type { Cleanup } from "../rig/cleanup.js";
import { command } from "../rig/command.js";
import { unmountBelow } from "../rig/containerd.js";

export const lazuliProgram = fileURLToPath(new URL("../../../bin/lazuli", import.meta.url));

/** A file in a mounted image, and what it must hold. */
export interface KnownFile {
  readonly path: string;
  readonly sha256: string;
}

/** A registry in this process, and the folder and config of a `lazuli` that others start and kill. */
export interface TakeoverRig {
  readonly folder: string;
  readonly state: string;
  readonly socket: string;
  readonly configFile: string;
  readonly registry: RegistryServer;
  /** Programs and arguments of the server. */
  readonly words: readonly string[];
  client(): ProxySnapshotter;
  /** Mounts an active snapshot on a committed one. */
  mountSnapshot(options: { readonly name: string; readonly parent: string }): Promise<MountedSnapshot>;
  /** Makes a lazy layer of these files, and mounts it with an overlay over it, as a container would see it. */
  mountLayer(options: { readonly name: string; readonly sizes: readonly number[] }): Promise<MountedLayer>;
}

export interface MountedSnapshot {
  readonly key: string;
  readonly folder: string;
}

export interface MountedLayer extends MountedSnapshot {
  readonly digest: Digest;
  readonly files: readonly KnownFile[];
}

export async function takeoverRig(
  cleanup: Cleanup,
  options: {
    /** `snapshotter` by default. */
    readonly program?: "snapshotter" | "daemon";
    readonly config?: string;
    readonly layer?: string;
  } = {},
): Promise<TakeoverRig> {
  const { program = "snapshotter" } = options;
  const folder = await mkdtemp(join(tmpdir(), "lazuli-takeover-"));
  cleanup.add(() => rm(folder, { recursive: true, force: true }));
  cleanup.add(() => unmountBelow(folder));
  const registry = await startRegistry();
  cleanup.add(() => registry.stop());
  const state = join(folder, "state");
  const socket = join(folder, "lazuli.sock");
  const configFile = join(folder, "config.toml");
  await writeFile(
    configFile,
    [
      `root = "${join(folder, "root")}"\nstate = "${state}"`,
      `[${program}]\naddress = "${socket}"\n[containerd]\nenabled = false`,
      // The default socket is the node's, and tests run side by side.
      program === "daemon" ? `[nri]\nsocket_path = "${join(folder, "nri.sock")}"` : "",
      `[layer]\nbackground_fill = false\nreadahead_max = "1B"\n${options.layer ?? ""}`,
      options.config ?? "",
    ].join("\n"),
  );
  const clients: ProxySnapshotter[] = [];
  cleanup.add(async () => {
    for (const client of clients) await client.close();
  });
  const client = (): ProxySnapshotter => {
    const made = createProxySnapshotter({
      address: socket,
      name: program === "daemon" ? "overlayfs" : "lazuli",
      context: () => ({ namespace: "default" }),
    });
    clients.push(made);
    return made;
  };
  return {
    folder,
    state,
    socket,
    configFile,
    registry,
    words: [lazuliProgram, program, "--config", configFile],
    client,
    mountSnapshot: async (snapshot) => await mountSnapshot({ ...snapshot, folder, client: client() }),
    mountLayer: async (layer) => await mountLayer({ ...layer, folder, registry, client: client() }),
  };
}

async function mountLayer(options: {
  readonly name: string;
  readonly sizes: readonly number[];
  readonly folder: string;
  readonly registry: RegistryServer;
  readonly client: ProxySnapshotter;
}): Promise<MountedLayer> {
  const { name, sizes, folder, client } = options;
  const files = sampleFiles(name, sizes);
  const digest = await addLazyLayer({ ...options, files });
  const snapshot = await mountSnapshot({ name, parent: name, folder, client });
  return {
    ...snapshot,
    digest,
    files: files.map(({ name: path, content }) => ({
      path: join(snapshot.folder, path),
      sha256: createHash("sha256").update(content).digest("hex"),
    })),
  };
}

async function mountSnapshot(options: {
  readonly name: string;
  readonly parent: string;
  readonly folder: string;
  readonly client: ProxySnapshotter;
}): Promise<MountedSnapshot> {
  const { name, parent, folder, client } = options;
  const target = join(folder, "mounted", name);
  await mkdir(target, { recursive: true });
  const key = `active-${name}`;
  for (const { type, source, options: words } of await client.prepare({ key, parent, labels: {} })) {
    await command("mount", ["-t", type, "-o", words.join(","), source, target]);
  }
  return { key, folder: target };
}

/** A committed lazy snapshot of this name. */
export async function addLazyLayer(options: {
  readonly name: string;
  readonly files: ReturnType<typeof sampleFiles>;
  readonly registry: RegistryServer;
  readonly client: ProxySnapshotter;
}): Promise<Digest> {
  const { name, files, registry, client } = options;
  const { blob, tocDigest } = sampleLayer(files);
  registry.addBlob(blob);
  const digest = sha256(blob);
  const labels = {
    [labelNames.target]: name,
    [labelNames.reference[0]!]: `${registry.host}/sample:latest`,
    [labelNames.digest[0]!]: digest,
    [labelNames.tocDigest]: tocDigest,
  };
  const answer = await client.prepare({ key: `extract-${name}`, parent: "", labels }).then(
    () => "not lazy",
    (thrown: { code?: string }) => thrown.code,
  );
  if (answer !== "ALREADY_EXISTS") throw new Error(`The layer ${name} is not lazy: ${answer}`);
  return digest;
}

/** The keeper of a state folder. */
export async function keeperPid(state: string): Promise<number> {
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const words = (await readFile(`/proc/${name}/cmdline`, "latin1").catch(() => "")).split("\0");
    if (words[0]?.endsWith("/lazuli-keeper") && words[1] === join(state, "keeper")) return Number(name);
  }
  throw new Error(`No keeper runs for ${state}`);
}

/** What is mounted below a folder. */
export async function mountsBelow(folder: string): Promise<string[]> {
  const lines = (await readFile("/proc/self/mountinfo", "utf8")).split("\n");
  return lines.map((line) => line.split(" ")[4] ?? "").filter((target) => target.startsWith(`${folder}/`));
}

const TRIES = 1_000;
const PAUSE_MS = 10;

/** Waits until the server's log has such text; returns all of it. */
export async function untilLogged(rig: Pick<TakeoverRig, "folder">, wanted: RegExp): Promise<string> {
  for (let attempt = 0; attempt < TRIES; attempt += 1) {
    const text = await readFile(join(rig.folder, "lazuli.log"), "utf8");
    if (wanted.test(text)) return text;
    await delay(PAUSE_MS);
  }
  throw new Error(`The log has no ${wanted}`);
}

export async function untilEnded(pid: number): Promise<void> {
  for (let attempt = 0; attempt < TRIES; attempt += 1) {
    if ((await readFile(`/proc/${pid}/stat`, "latin1").catch(() => "")) === "") return;
    await delay(PAUSE_MS);
  }
  throw new Error(`Process ${pid} goes on`);
}
