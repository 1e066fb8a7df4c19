import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Digest } from "../../src/bytes/index.js";
import { digestFileName } from "../../src/bytes/index.js";
import { LazuliError } from "../../src/errors/index.js";
import type {
  LayerEngine,
  LayerOwner,
  LayerRequest,
  LayerStatus,
  LayerUsage,
} from "../../src/layer/index.js";

/** An engine whose layers are plain folders with one file; it does what a test tells it to. */
export class FakeEngine implements LayerEngine {
  readonly ensured: Digest[] = [];
  readonly removed: Digest[] = [];
  /** Runs in each `ensure` before the layer is there; may throw or wait. */
  onEnsure: (request: LayerRequest, signal: AbortSignal | undefined) => Promise<void> = async () => undefined;
  onMount: (digest: Digest) => Promise<void> = async () => undefined;
  onRemove: (digest: Digest) => Promise<void> = async () => undefined;
  owner: LayerOwner = { uid: 0, gid: 0 };
  readonly #folder: string;
  readonly #layers = new Map<Digest, LayerRequest>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  async ensure(request: LayerRequest, options: { signal?: AbortSignal | undefined }): Promise<void> {
    this.ensured.push(request.digest);
    await this.onEnsure(request, options.signal);
    await mkdir(this.#path(request.digest), { recursive: true });
    await writeFile(join(this.#path(request.digest), `file-of-${request.digest.slice(7, 15)}`), "lazy");
    this.#layers.set(request.digest, request);
  }

  has(digest: Digest): boolean {
    return this.#layers.has(digest);
  }

  async mountPoint(digest: Digest): Promise<string> {
    this.#get(digest);
    await this.onMount(digest);
    return this.#path(digest);
  }

  async rootOwner(digest: Digest): Promise<LayerOwner> {
    this.#get(digest);
    return this.owner;
  }

  status(digest: Digest): LayerStatus {
    const { origin } = this.#get(digest);
    return {
      digest,
      number: 1,
      format: "estargz",
      reference: origin.reference,
      blobBytes: 1000,
      dataBytes: 4096,
      cachedBytes: 4,
      units: 2,
      cachedUnits: 1,
      fetchedBytes: 77,
      mountKind: "erofs",
      complete: false,
      lastError: undefined,
    };
  }

  list(): readonly LayerStatus[] {
    return [...this.#layers.keys()].map((digest) => this.status(digest));
  }

  async usage(digest: Digest): Promise<LayerUsage> {
    this.#get(digest);
    return { bytes: 4096, inodes: 3 };
  }

  async remove(digest: Digest): Promise<void> {
    this.#layers.delete(digest);
    await this.onRemove(digest);
    await rm(this.#path(digest), { recursive: true, force: true });
    this.removed.push(digest);
  }

  async close(): Promise<void> {
    this.#layers.clear();
  }

  #get(digest: Digest): LayerRequest {
    const request = this.#layers.get(digest);
    if (request === undefined) throw new LazuliError("NOT_FOUND", `Layer "${digest}" does not exist`);
    return request;
  }

  #path(digest: Digest): string {
    return join(this.#folder, digestFileName(digest));
  }
}
