import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { type CommandResult, command } from "../../testing/rig/command.js";
import { startContainerd } from "../../testing/rig/containerd.js";
import { startDaemon } from "../../testing/rig/daemon.js";
import { projectRoot } from "../../testing/rig/lab.js";
import { processesOf } from "./processes.js";

export const engineNames = ["containerd 1.6", "containerd 2.1", "lazuli"] as const;
export type EngineName = (typeof engineNames)[number];

interface EngineParts {
  readonly name: EngineName;
  readonly folder: string;
  readonly address: string;
  readonly client: string;
  readonly stop: () => Promise<void>;
}

/** A daemon on folders of its own, in a namespace of its own. */
export class Engine {
  readonly #parts: EngineParts;

  private constructor(parts: EngineParts) {
    this.#parts = parts;
  }

  /** The client is Debian's for all, but where `isNew` says that a newer one is wanted. */
  static async start(name: EngineName, folder: string, { isNew = false } = {}): Promise<Engine> {
    await mkdir(folder, { recursive: true });
    const binFolder = join(projectRoot, "build", "newer", "bin");
    const client = isNew ? join(binFolder, "ctr") : "ctr";
    const daemon =
      name === "lazuli"
        ? await startDaemon({ folder })
        : await startContainerd({ folder, ...(name === "containerd 2.1" ? { binFolder } : {}) });
    return new Engine({ name, folder, address: daemon.address, client, stop: () => daemon.stop() });
  }

  get name(): EngineName {
    return this.#parts.name;
  }

  get address(): string {
    return this.#parts.address;
  }

  async ctr(args: readonly string[]): Promise<CommandResult> {
    const { client, address, name } = this.#parts;
    const namespace = `bench-${name.replace(/\W+/g, "-")}-${process.pid}`;
    return await command(client, ["--address", address, "--namespace", namespace, ...args]);
  }

  /** Of the daemon, and of all its shims. @returns MiB */
  async residentMiB(): Promise<{ readonly daemon: number; readonly shims: number }> {
    const { folder, address } = this.#parts;
    const isDaemon = (line: string): boolean => line.includes(`--config ${folder}/config.toml`);
    const isShim = (line: string): boolean => line.includes("shim") && line.includes(`-address ${address}`);
    return { daemon: await processesOf(isDaemon), shims: await processesOf(isShim) };
  }

  async stop(): Promise<void> {
    await this.#parts.stop();
  }
}
