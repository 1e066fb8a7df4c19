import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { sha256 } from "../../src/bytes/index.js";
import { type BlobSource, Registry } from "../../src/registry/index.js";
import type { Random } from "../../testing/crash/random.js";

/** How a body is damaged on its way. */
export type BodyFault = "flip" | "cut" | "swap";
export const bodyFaults: readonly BodyFault[] = ["flip", "cut", "swap"];

const SWAP_BYTES = 16;

/** Blobs with their digests, whatever their bytes are, and damaged bodies, so many of them. */
export class CorruptingRegistry implements AsyncDisposable {
  /** Bodies that are damaged from now on, of those that are sent. */
  faultsLeft = 0;
  /** Bytes that were wrong or missing on the wire. */
  positions = 0;
  readonly #server: Server;
  readonly #blobs = new Map<string, Buffer>();
  readonly #random: Random;
  readonly #registry = new Registry({
    stallTimeoutMs: 20_000,
    retry: { attempts: 3, minWaitMs: 1, maxWaitMs: 5 },
    dockerConfigPaths: [],
    hostsDirectories: [],
  });

  private constructor(server: Server, random: Random) {
    this.#server = server;
    this.#random = random;
  }

  static async start(random: Random): Promise<CorruptingRegistry> {
    const server = createServer();
    const registry = new CorruptingRegistry(server, random);
    server.on("request", (request, response) => {
      const digest = request.url?.split("/").at(-1) ?? "";
      const blob = registry.#blobs.get(digest);
      const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "") ?? [];
      if (blob === undefined || first === undefined || last === undefined) {
        response.writeHead(blob === undefined ? 404 : 400).end();
        return;
      }
      const body = Buffer.from(blob.subarray(Number(first), Number(last) + 1));
      response.writeHead(206, {
        "content-length": body.length,
        "content-range": `bytes ${first}-${Number(first) + body.length - 1}/${blob.length}`,
      });
      const end = registry.#damage(body);
      response.write(body.subarray(0, end), () => {
        if (end < body.length) response.destroy();
        else response.end();
      });
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return registry;
  }

  /** A source of bytes that claims to be `digest`. */
  async open(bytes: Buffer, digest = sha256(bytes)): Promise<BlobSource> {
    this.#blobs.set(digest, bytes);
    const { port } = this.#server.address() as AddressInfo;
    const reference = `127.0.0.1:${port}/a/b:1`;
    return await this.#registry.openBlob({ reference, digest, size: bytes.length });
  }

  forget(digest: string): void {
    this.#blobs.delete(digest);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }

  /** Where the body ends. */
  #damage(body: Buffer): number {
    if (this.faultsLeft === 0 || body.length < SWAP_BYTES * 2) return body.length;
    this.faultsLeft -= 1;
    const at = this.#random.below(body.length);
    this.positions += 1;
    switch (this.#random.pick(bodyFaults)!) {
      case "flip":
        body[at]! ^= 1 << this.#random.below(8);
        return body.length;
      case "cut":
        return at;
      default: {
        const one = this.#random.below(body.length - SWAP_BYTES);
        const other = this.#random.below(body.length - SWAP_BYTES);
        const kept = Buffer.from(body.subarray(one, one + SWAP_BYTES));
        body.copy(body, one, other, other + SWAP_BYTES);
        kept.copy(body, other);
        return body.length;
      }
    }
  }
}
