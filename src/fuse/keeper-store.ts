import { spawn } from "node:child_process";
import { closeSync, existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { getSystemErrorName } from "node:util";
import { failedPrecondition, LazuliError, unavailable } from "../errors/index.js";
import type { NativeBinding } from "./binding.js";
import type { DescriptorStore, StoredDescriptor } from "./descriptor-store.js";

/** What native/programs/lazuli_keeper.cc takes. */
const HELD_MAX = 4096;
const HEADER_BYTES = 4;
const SOCKET_NAME = "keeper.sock";

/** A keeper that was started answers within this, or it has failed. */
const START_WAIT_MS = 3_000;
const START_POLL_MS = 2;
const START_AGAIN_MS = 100;

/** Of a keeper that is not there, or ends just now. */
const goneCodes: ReadonlySet<string> = new Set(["ENOENT", "ECONNREFUSED", "ECONNRESET", "EPIPE"]);

/** Where the program may lie, seen from this file: in the package when compiled (dist/src/fuse), and when run from source. */
const places = ["../../../build/Release/lazuli-keeper", "../../build/Release/lazuli-keeper"];

export interface KeeperStoreOptions {
  readonly binding: Pick<NativeBinding, "exchange">;
  /** Folder of the keeper's socket, in an existing private one. */
  readonly folder: string;
}

/** The keeper of a folder, which is started where none answers. @throws FAILED_PRECONDITION, UNAVAILABLE */
export async function openKeeperStore(options: KeeperStoreOptions): Promise<DescriptorStore> {
  await mkdir(options.folder, { recursive: true, mode: 0o700 });
  const store = new KeeperStore(options);
  await store.open();
  return store;
}

/** Tells the keeper of a folder to end, and with it the mounts that nobody else serves. None there is fine. */
export async function endKeeper({ binding, folder }: KeeperStoreOptions): Promise<void> {
  try {
    await binding.exchange(join(folder, SOCKET_NAME), Buffer.from("Q\0\0\0", "latin1"), [], 0);
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    if (code !== "ENOENT" && code !== "ECONNREFUSED") throw thrown;
  }
}

function keeperProgram(): string {
  const found = places.map((place) => fileURLToPath(new URL(place, import.meta.url))).find(existsSync);
  if (found !== undefined) return found;
  throw failedPrecondition("Cannot start lazuli-keeper: the program does not exist", {
    reason: "keeper-missing",
    hint: "Build it with: npm run setup",
  });
}

class KeeperStore implements DescriptorStore {
  readonly kind = "keeper";
  readonly #options: KeeperStoreOptions;
  readonly #path: string;
  #watching: Socket | undefined;
  #onLost: () => void = () => undefined;
  #isClosed = false;

  constructor(options: KeeperStoreOptions) {
    this.#options = options;
    this.#path = join(options.folder, SOCKET_NAME);
  }

  async open(): Promise<void> {
    await this.#ask("L");
  }

  async take(): Promise<readonly StoredDescriptor[]> {
    const { data, fds } = await this.#ask("T");
    const taken: StoredDescriptor[] = [];
    let at = 0;
    while (data[at] === 1 && taken.length < fds.length) {
      const nameEnd = at + HEADER_BYTES + data.readUInt8(at + 1);
      const end = nameEnd + data.readUInt16LE(at + 2);
      const name = data.toString("latin1", at + HEADER_BYTES, nameEnd);
      taken.push({ name, facts: data.toString("latin1", nameEnd, end), fd: fds[taken.length]! });
      at = end;
    }
    for (const fd of fds.slice(taken.length)) closeSync(fd);
    return taken;
  }

  async put({ name, facts, fd }: StoredDescriptor): Promise<void> {
    await this.#change("P", { name, facts, fds: [fd] });
  }

  async drop(name: string): Promise<void> {
    await this.#change("D", { name, allowed: "ENOENT" });
  }

  onLost(listener: () => void): void {
    this.#onLost = listener;
  }

  close(): void {
    this.#isClosed = true;
    this.#watching?.destroy();
  }

  async #change(
    op: string,
    request: { name: string; facts?: string; fds?: readonly number[]; allowed?: string },
  ): Promise<void> {
    const { data } = await this.#ask(op, request);
    const error = data[0] ?? 0;
    if (data.length === 1 && (error === 0 || getSystemErrorName(-error) === request.allowed)) return;
    const why = data.length === 1 ? getSystemErrorName(-error) : "no answer";
    throw unavailable(`Cannot hand a descriptor to the keeper: ${why}`, {
      subject: request.name,
      reason: "keeper-refused",
    });
  }

  /** One request; a keeper that does not answer is started first, and a new one knows nothing. */
  async #ask(
    op: string,
    request: { name?: string; facts?: string; fds?: readonly number[] } = {},
  ): Promise<{ data: Buffer; fds: number[] }> {
    const { name = "", facts = "", fds = [] } = request;
    const bytes = Buffer.alloc(HEADER_BYTES + name.length + facts.length);
    bytes.write(op, 0, "latin1");
    bytes.writeUInt8(name.length, 1);
    bytes.writeUInt16LE(facts.length, 2);
    bytes.write(name + facts, HEADER_BYTES, "latin1");
    const until = performance.now() + START_WAIT_MS;
    let startAt = 0;
    for (;;) {
      const answer = await this.#exchange(bytes, { fds, isLast: performance.now() > until });
      if (answer !== undefined) {
        this.#watch();
        return answer;
      }
      // More than once: one that is ending keeps the place of the next one for a moment.
      if (performance.now() >= startAt) {
        this.#start();
        startAt = performance.now() + START_AGAIN_MS;
      }
      await sleep(START_POLL_MS);
    }
  }

  /** undefined: nobody is there, or it ended before it answered. */
  async #exchange(
    bytes: Buffer,
    options: { readonly fds: readonly number[]; readonly isLast: boolean },
  ): Promise<{ data: Buffer; fds: number[] } | undefined> {
    let cause: unknown;
    try {
      const answer = await this.#options.binding.exchange(this.#path, bytes, options.fds, HELD_MAX);
      if (answer.data.length > 0) return answer;
    } catch (thrown) {
      cause = thrown;
    }
    const isGone = cause === undefined || goneCodes.has((cause as NodeJS.ErrnoException).code ?? "");
    if (isGone && !options.isLast && !this.#isClosed) return undefined;
    const why = cause === undefined ? "it ended" : LazuliError.from(cause).message;
    throw unavailable(`Cannot ask the keeper: ${why}`, {
      subject: this.#path,
      reason: "keeper-unavailable",
      cause,
    });
  }

  #start(): void {
    // Of its own session, so that no signal for our group reaches it; it takes none of our files.
    const child = spawn(keeperProgram(), [this.#options.folder], {
      detached: true,
      stdio: "ignore",
      cwd: "/",
    });
    // Then nobody answers, which ends in an error that says so.
    child.on("error", () => undefined);
    child.unref();
  }

  /** Learns at once of the keeper's end. */
  #watch(): void {
    if (this.#watching !== undefined || this.#isClosed) return;
    const socket = connect(this.#path);
    this.#watching = socket;
    socket.unref();
    // "close" follows.
    socket.on("error", () => undefined);
    // Nothing comes, but its end is only seen by who reads.
    socket.resume();
    socket.write(Buffer.from("W\0\0\0", "latin1"));
    socket.on("close", () => {
      this.#watching = undefined;
      if (!this.#isClosed) this.#onLost();
    });
  }
}
