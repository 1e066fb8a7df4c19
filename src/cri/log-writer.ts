import { constants } from "node:fs";
import { type FileHandle, mkdir, open } from "node:fs/promises";
import { dirname } from "node:path";
import { KeyedQueue } from "../async/index.js";

export interface LogWriterOptions {
  readonly path: string;
  /** Bytes of output after which a line is cut, and goes on as a further one. */
  readonly lineBytesMax: number;
  /** Nanoseconds since 1970. */
  readonly now: () => bigint;
}

type OutputName = "stdout" | "stderr";

const NEWLINE = 0x0a;
const FLAGS = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW;
/** Kubelets and log agents read it. */
const MODE = 0o640;

/**
 * A container's log in CRI's format: `<time> <stdout|stderr> <P|F> <output>`, a line each; P where the line goes on.
 * Writes are made in order; each resolves when the file has it, so that a full disk holds the container back.
 */
export class LogWriter {
  readonly #options: LogWriterOptions;
  readonly #turns = new KeyedQueue();
  readonly #rests = new Map<OutputName, Buffer>();
  #file: FileHandle;

  private constructor(options: LogWriterOptions, file: FileHandle) {
    this.#options = options;
    this.#file = file;
  }

  /** Goes on in a log that is there. */
  static async open(options: LogWriterOptions): Promise<LogWriter> {
    await mkdir(dirname(options.path), { recursive: true });
    return new LogWriter(options, await open(options.path, FLAGS, MODE));
  }

  async write(output: OutputName, bytes: Buffer): Promise<void> {
    await this.#turns.run("", async () => {
      const whole = Buffer.concat([this.#rests.get(output) ?? Buffer.alloc(0), bytes]);
      const lines: Buffer[] = [];
      let start = 0;
      for (;;) {
        const end = whole.indexOf(NEWLINE, start);
        const isWhole = end >= 0 && end - start <= this.#options.lineBytesMax;
        if (!isWhole && whole.length - start <= this.#options.lineBytesMax) break;
        const stop = isWhole ? end : start + this.#options.lineBytesMax;
        lines.push(this.#line(output, isWhole ? "F" : "P", whole.subarray(start, stop)));
        start = isWhole ? end + 1 : stop;
      }
      this.#rests.set(output, Buffer.from(whole.subarray(start)));
      if (lines.length > 0) await this.#file.appendFile(Buffer.concat(lines));
    });
  }

  /** Writes what has no end of line yet. */
  async flush(output: OutputName): Promise<void> {
    await this.#turns.run("", async () => {
      const rest = this.#rests.get(output);
      this.#rests.delete(output);
      if (rest !== undefined && rest.length > 0) await this.#file.appendFile(this.#line(output, "P", rest));
    });
  }

  /** Goes on in a new file under the same path, where the old one was moved away. */
  async reopen(): Promise<void> {
    await this.#turns.run("", async () => {
      const fresh = await open(this.#options.path, FLAGS, MODE);
      await this.#file.close();
      this.#file = fresh;
    });
  }

  async close(): Promise<void> {
    await this.#turns.run("", async () => await this.#file.close());
  }

  #line(output: OutputName, tag: "P" | "F", content: Buffer): Buffer {
    const start = `${timeText(this.#options.now())} ${output} ${tag} `;
    return Buffer.concat([Buffer.from(start, "latin1"), content, Buffer.of(NEWLINE)]);
  }
}

/** RFC 3339 in UTC with all nine digits, which readers of older versions need. */
function timeText(nanoseconds: bigint): string {
  const seconds = new Date(Number(nanoseconds / 1_000_000_000n) * 1000).toISOString().slice(0, 19);
  return `${seconds}.${String(nanoseconds % 1_000_000_000n).padStart(9, "0")}Z`;
}
