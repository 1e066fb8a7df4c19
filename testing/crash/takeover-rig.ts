import { createHash } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
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

/** A registry in this process, and the folder and config of a `lazuli snapshotter` that others start and kill. */
export interface TakeoverRig {
  readonly folder: string;
  readonly state: string;
  readonly socket: string;
  readonly configFile: string;
  readonly registry: RegistryServer;
  /** Programs and arguments of the server. */
  readonly words: readonly string[];
  client(): ProxySnapshotter;
  /** Makes a lazy layer of these files, and mounts it with an overlay over it, as a container would see it. */
  mountLayer(options: { readonly name: string; readonly sizes: readonly number[] }): Promise<MountedLayer>;
}

export interface MountedLayer {
  readonly digest: Digest;
  /** Of the snapshot that is mounted. */
  readonly key: string;
  readonly folder: string;
  readonly files: readonly KnownFile[];
}

export async function takeoverRig(
  cleanup: Cleanup,
  options: { readonly config?: string; readonly layer?: string } = {},
): Promise<TakeoverRig> {
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
      `[snapshotter]\naddress = "${socket}"\n[containerd]\nenabled = false`,
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
      name: "lazuli",
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
    words: [lazuliProgram, "snapshotter", "--config", configFile],
    client,
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
  const target = join(folder, "mounted", name);
  await mkdir(target, { recursive: true });
  const key = `active-${name}`;
  const mounts = await client.prepare({ key, parent: name, labels: {} });
  for (const { type, source, options: words } of mounts) {
    await command("mount", ["-t", type, "-o", words.join(","), source, target]);
  }
  return {
    digest,
    key,
    folder: target,
    files: files.map(({ name: path, content }) => ({
      path: join(target, path),
      sha256: createHash("sha256").update(content).digest("hex"),
    })),
  };
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
