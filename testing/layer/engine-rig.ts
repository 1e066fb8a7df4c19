import { type ChildProcess, execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import type { Digest } from "../../src/bytes/index.js";
import { notFound, unavailable } from "../../src/errors/index.js";
import { loadBinding } from "../../src/fuse/index.js";
import {
  type EstargzIndex,
  type LayerEngineOptions,
  type LayerRequest,
  type OpenLayerEngine,
  openLayerEngine,
} from "../../src/layer/index.js";
import { parseMountInfo } from "../../src/layer/mount-table.js";
import type { BlobSource } from "../../src/registry/index.js";
import { MemorySource } from "./memory-source.js";
import type { SampleFile, SampleLayer } from "./sample-layer.js";

const run = promisify(execFile);

/** A root and a state folder, and engines that are opened on them one after the other. */
export class EngineRig implements AsyncDisposable {
  readonly root: string;
  readonly state: string;
  /** Sources that a restarted engine finds. */
  readonly sources = new Map<Digest, BlobSource>();
  readonly #folder: string;
  readonly #children = new Set<ChildProcess>();
  #engine: OpenLayerEngine | undefined;

  private constructor(folder: string) {
    this.#folder = folder;
    this.root = join(folder, "root");
    this.state = join(folder, "state");
  }

  static async make(): Promise<EngineRig> {
    const rig = new EngineRig(await mkdtemp(join(tmpdir(), "lazuli-layer-")));
    await mkdir(rig.root);
    await mkdir(rig.state);
    return rig;
  }

  async open(options: Partial<LayerEngineOptions> = {}): Promise<OpenLayerEngine> {
    this.#engine = await openLayerEngine({
      binding: loadBinding(),
      root: this.root,
      state: this.state,
      demandDeadlineMs: 60_000,
      readaheadMaxBytes: 0,
      backgroundFill: false,
      mount: "auto",
      fuseThreads: 2,
      workerThreads: 2,
      openSourceFor: async (_origin, digest) => {
        const source = this.sources.get(digest);
        if (source === undefined)
          throw unavailable("Cannot open source: it is dead", { reason: "source-dead" });
        return source;
      },
      ...options,
    });
    return this.#engine;
  }

  /** Starts a child that ends with the rig. */
  spawn(command: string, args: readonly string[]): ChildProcess {
    const child = spawn(command, args, { stdio: "ignore" });
    this.#children.add(child);
    return child;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) child.kill("SIGKILL");
    await this.#engine?.close();
    const mounts = parseMountInfo(await readFile("/proc/self/mountinfo", "utf8"));
    for (const { target } of mounts.reverse()) {
      if (target.startsWith(`${this.#folder}/`)) await run("umount", ["--lazy", target]);
    }
    await rm(this.#folder, { recursive: true, force: true });
  }
}

/** What the snapshotter would ask for, and the source behind it. */
export function requestOf(layer: SampleLayer): {
  request: LayerRequest & { index: EstargzIndex };
  source: MemorySource;
} {
  const source = new MemorySource(layer.blob);
  const request: LayerRequest & { index: EstargzIndex } = {
    digest: source.digest,
    mediaType: "application/vnd.oci.image.layer.v1.tar+gzip",
    index: {
      kind: "estargz",
      tocDigest: layer.tocDigest,
      loadExternalToc: async () => {
        if (layer.tocBlob === undefined)
          throw notFound("Cannot find TOC: there is none", { reason: "toc-layer-missing" });
        return layer.tocBlob;
      },
    },
    openSource: async () => source,
    origin: { reference: "memory.example/sample:1", size: source.size },
  };
  return { request, source };
}

export interface ChildResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command and waits; never throws for its exit code. */
export async function child(command: string, ...args: string[]): Promise<ChildResult> {
  try {
    const { stdout, stderr } = await run(command, args, { maxBuffer: 64 * 1024 * 1024 });
    return { code: 0, stdout, stderr };
  } catch (thrown) {
    const failed = thrown as { code?: number; stdout?: string; stderr?: string };
    return { code: failed.code ?? -1, stdout: failed.stdout ?? "", stderr: failed.stderr ?? "" };
  }
}

/** The sha256 of every file below a folder, by name, read by a child. */
export async function hashesBelow(folder: string): Promise<Map<string, string>> {
  const { stdout } = await child("sh", "-c", 'cd "$1" && find . -type f -exec sha256sum {} +', "sh", folder);
  return new Map(
    stdout
      .split("\n")
      .filter(Boolean)
      .map((line) => [line.slice(68), line.slice(0, 64)]),
  );
}

/** What hashesBelow() finds where every file is right. */
export function expectedHashes(files: readonly SampleFile[]): Map<string, string> {
  return new Map(files.map((file) => [file.name, createHash("sha256").update(file.content).digest("hex")]));
}

/** Waits for something that the engine does by itself. */
export async function until(test: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await test())) await sleep(10);
}
