import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { sha256 } from "../../src/bytes/index.js";
import type { LayerRequest, OpenLayerEngine } from "../../src/layer/index.js";
import { type BlobSource, Registry } from "../../src/registry/index.js";
import { EngineRig } from "../../testing/layer/engine-rig.js";
import { type SampleLayer, sampleFiles, sampleLayer } from "../../testing/layer/sample-layer.js";
import { type RegistryServer, startRegistry } from "../../testing/registry/index.js";
import type { Misbehaviour } from "../../testing/registry/misbehaviours/index.js";

const KIB = 1024;
/** The first two stand before the prefetch landmark. */
export const layer: SampleLayer = sampleLayer(
  sampleFiles("phases", [150 * KIB, 90 * KIB, 140 * KIB, 70 * KIB, 200 * KIB]),
  { prefetched: 2 },
);
export const digest = sha256(layer.blob);
const diffId = sha256(gunzipSync(layer.blob));

/** D of the goal: the longest that a read waits for a registry that will not give its bytes. */
const DEADLINE_MS = 2_000;
/** One that gives them in the end must not fail for a slow machine. */
const PATIENT_DEADLINE_MS = 20_000;
const SILENCE_MS = 300;
const PATIENT_SILENCE_MS = 20_000;

/** A root with an engine for one case after the other. */
export class PhaseEngine implements AsyncDisposable {
  readonly #rig: EngineRig;
  #open: { engine: OpenLayerEngine; demandDeadlineMs: number } | undefined;
  /** Of the case that runs. */
  #phase: PhaseRig | undefined;

  private constructor(rig: EngineRig) {
    this.#rig = rig;
  }

  static async make(): Promise<PhaseEngine> {
    return new PhaseEngine(await EngineRig.make());
  }

  /** The engine, opened anew where it has another deadline. */
  async engine(phase: PhaseRig): Promise<OpenLayerEngine> {
    this.#phase = phase;
    const { demandDeadlineMs } = phase;
    if (this.#open?.demandDeadlineMs === demandDeadlineMs) return this.#open.engine;
    await this.#close();
    const engine = await this.#rig.open({
      demandDeadlineMs,
      fuseThreads: 1,
      workerThreads: 1,
      openSourceFor: async () => await this.#phase!.openSource(),
    });
    this.#open = { engine, demandDeadlineMs };
    return engine;
  }

  async restarted(phase: PhaseRig): Promise<OpenLayerEngine> {
    await this.#close();
    return await this.engine(phase);
  }

  async forget(): Promise<void> {
    await this.#open?.engine.remove(digest);
  }

  /** Whatever comes of it, nobody uses that engine any more. */
  async #close(): Promise<void> {
    const { engine } = this.#open ?? {};
    this.#open = undefined;
    await engine?.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#rig[Symbol.asyncDispose]();
  }
}

/** One registry that misbehaves when it is told, and its client. */
export class PhaseRig implements AsyncDisposable {
  readonly server: RegistryServer;
  readonly demandDeadlineMs: number;
  readonly #registry: Registry;
  readonly #misbehaviour: Misbehaviour;
  #isBad = false;

  private constructor(misbehaviour: Misbehaviour, server: RegistryServer) {
    const isOutlived = misbehaviour.verdicts.read === "right";
    this.server = server;
    this.demandDeadlineMs = isOutlived ? PATIENT_DEADLINE_MS : DEADLINE_MS;
    this.#misbehaviour = misbehaviour;
    this.#registry = new Registry({
      stallTimeoutMs: misbehaviour.isSilent ? SILENCE_MS : PATIENT_SILENCE_MS,
      connectTimeoutMs: PATIENT_SILENCE_MS,
      retry: { attempts: isOutlived ? 6 : 3, minWaitMs: 1, maxWaitMs: 20 },
      dockerConfigPaths: [],
      hostsDirectories: [],
    });
  }

  static async make(misbehaviour: Misbehaviour): Promise<PhaseRig> {
    const server = await startRegistry(misbehaviour.server);
    server.addBlob(layer.blob);
    return new PhaseRig(misbehaviour, server);
  }

  async openSource(): Promise<BlobSource> {
    const reference = `${this.server.host}/a/b:1`;
    return await this.#registry.openBlob({ reference, digest, size: layer.blob.length });
  }

  /** What a snapshotter asks for a lazy layer; with `whole`, for one that is pulled as a whole. */
  request(kind: "lazy" | "whole"): LayerRequest {
    return {
      digest,
      mediaType: "application/vnd.oci.image.layer.v1.tar+gzip",
      index: kind === "lazy" ? { kind: "estargz", tocDigest: layer.tocDigest } : { kind: "whole", diffId },
      openSource: async () => await this.openSource(),
      origin: { reference: `${this.server.host}/a/b:1`, size: layer.blob.length },
    };
  }

  /** The same, but the registry misbehaves from the first request for what is fetched ahead. */
  prefetchRequest(): LayerRequest {
    const openSource = async (): Promise<BlobSource> => {
      const source = await this.openSource();
      return {
        digest: source.digest,
        size: source.size,
        description: source.description,
        readRange: (range) => {
          if (range.offset < (layer.landmark ?? 0)) this.misbehave();
          return source.readRange(range);
        },
        distrust: (range) => source.distrust(range),
      };
    };
    return { ...this.request("lazy"), openSource };
  }

  misbehave(): void {
    if (this.#isBad) return;
    this.#isBad = true;
    this.#misbehaviour.enter(this.server);
    for (const rule of this.#misbehaviour.rules) this.server.script(rule);
  }

  /** For good. */
  behave(): void {
    this.#isBad = true;
    this.server.clearScript();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#registry.close();
    await this.server.stop();
  }
}

export const pathOf = (folder: string, file: number): string => join(folder, layer.files[file]!.name);
