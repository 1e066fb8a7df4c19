import { isUtf8 } from "node:buffer";
import type { ByteString } from "../bytes/index.js";
import { TAR_SPLIT_BYTES_MAX } from "./limits.js";
import { refuseBlobSize } from "./refusal.js";

/** Kinds of lines, as tar-split numbers them. */
export const tarSplitTypes = { file: 1, segment: 2 } as const;

/** Lines that are joined before they become bytes. */
const PART_LENGTH = 64 * 1024;

/**
 * Writes the JSON lines of a tar-split, which is the tar without the contents of its files: a line for what stands
 * between contents, and a line for each entry. In the order of the tar.
 */
export class TarSplitWriter {
  #position = 0;
  #lines: string[] = [];
  #length = 0;
  readonly #parts: Buffer[] = [];
  #size = 0;

  /** Bytes of the tar that are no content: headers, padding, the end. None is no line. */
  addSegment(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    const payload = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
    this.#add({ type: tarSplitTypes.segment, payload, position: this.#position });
  }

  /** An entry of any kind, after the segment that ends with its header. `crc64`: of the content, see Crc64. */
  addFile(file: {
    readonly name: ByteString;
    readonly size: number;
    readonly crc64: Buffer | undefined;
  }): void {
    const raw = Buffer.from(file.name, "latin1");
    this.#add({
      type: tarSplitTypes.file,
      ...(isUtf8(raw) ? { name: raw.toString("utf8") } : { name_raw: raw.toString("base64") }),
      ...(file.size === 0 ? {} : { size: file.size }),
      payload: file.crc64?.toString("base64") ?? null,
      position: this.#position,
    });
  }

  /** @throws RESOURCE_EXHAUSTED `tar-split-too-large`, as the calls before */
  finish(): Buffer {
    this.#closePart();
    return Buffer.concat(this.#parts);
  }

  #add(line: object): void {
    const text = `${JSON.stringify(line)}\n`;
    this.#position += 1;
    this.#lines.push(text);
    this.#length += text.length;
    if (this.#length >= PART_LENGTH) this.#closePart();
  }

  #closePart(): void {
    const part = Buffer.from(this.#lines.join(""));
    this.#lines = [];
    this.#length = 0;
    this.#parts.push(part);
    this.#size += part.length;
    if (this.#size > TAR_SPLIT_BYTES_MAX) {
      throw refuseBlobSize("tar-split-too-large", `want at most ${TAR_SPLIT_BYTES_MAX} bytes of tar-split`);
    }
  }
}
