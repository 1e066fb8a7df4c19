import { constants, createDeflate, createInflate, type Deflate, type Inflate } from "node:zlib";
import { headerDictionary } from "./spdy-dictionary.js";
import { frameRefused } from "./spdy-frames.js";

/** Longest block of headers when it is inflated, and most headers in it. */
const BLOCK_BYTES_MAX = 64 * 1024;
const HEADERS_MAX = 256;

/** Both ends of the compressed headers of a connection: each block goes on where the one before it ended. */
export class HeaderCodec implements Disposable {
  readonly #inflate: Inflate = createInflate({ dictionary: headerDictionary });
  readonly #deflate: Deflate = createDeflate({ dictionary: headerDictionary });

  /** @throws INVALID_ARGUMENT; the connection is of no use then */
  async decode(block: Buffer): Promise<ReadonlyMap<string, string>> {
    return parseBlock(await this.#inflated(block));
  }

  async encode(headers: ReadonlyMap<string, string>): Promise<Buffer> {
    const parts = [uint32(headers.size)];
    for (const [name, value] of headers) {
      for (const text of [name, value]) parts.push(uint32(Buffer.byteLength(text)), Buffer.from(text));
    }
    const pieces: Buffer[] = [];
    const take = (piece: Buffer): void => void pieces.push(piece);
    this.#deflate.on("data", take);
    this.#deflate.write(Buffer.concat(parts));
    await new Promise<void>((resolve) => this.#deflate.flush(constants.Z_SYNC_FLUSH, resolve));
    this.#deflate.off("data", take);
    return Buffer.concat(pieces);
  }

  [Symbol.dispose](): void {
    this.#inflate.destroy();
    this.#deflate.destroy();
  }

  async #inflated(block: Buffer): Promise<Buffer> {
    const pieces: Buffer[] = [];
    let bytes = 0;
    return await new Promise((resolve, reject) => {
      const take = (piece: Buffer): void => {
        bytes += piece.length;
        if (bytes > BLOCK_BYTES_MAX)
          fail(frameRefused(`headers of at most ${BLOCK_BYTES_MAX} bytes`, "more"));
        else pieces.push(piece);
      };
      const fail = (thrown: unknown): void => {
        this.#inflate.off("data", take).off("error", fail);
        // It is torn down already, and may say so again.
        this.#inflate.on("error", () => undefined).destroy();
        reject(frameRefused("headers in zlib's format", thrown));
      };
      this.#inflate.on("data", take).once("error", fail);
      this.#inflate.write(block);
      this.#inflate.flush(() => {
        this.#inflate.off("data", take).off("error", fail);
        resolve(Buffer.concat(pieces));
      });
    });
  }
}

/** Names are in lower case; a name that comes twice has its values joined by NUL, as SPDY has it. */
function parseBlock(block: Buffer): ReadonlyMap<string, string> {
  let offset = 0;
  const number = (): number => {
    if (offset + 4 > block.length) throw frameRefused("whole headers", "fewer bytes");
    offset += 4;
    return block.readUInt32BE(offset - 4);
  };
  const text = (): string => {
    const length = number();
    if (length > block.length - offset) throw frameRefused("whole headers", "fewer bytes");
    offset += length;
    return block.toString("utf8", offset - length, offset);
  };
  const count = number();
  if (count > HEADERS_MAX) throw frameRefused(`at most ${HEADERS_MAX} headers`, count);
  const headers = new Map<string, string>();
  for (let index = 0; index < count; index += 1) {
    const name = text().toLowerCase();
    headers.set(name, text());
  }
  return headers;
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
