import { mkdir, readdir, readFile, rename, rm, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { HeldActivation } from "./activation.js";
import { isLoopLinked, removeLoopLink } from "./loop-link.js";
import { unmountAll } from "./mount-all.js";
import type { MountInfo } from "./mount-info.js";
import type { MountBinding } from "./mount-spec.js";

/** Written last and removed first: a folder without it is of an activation that was half done or is to go. */
const RECORD = "activation.json";
/** Beside the link to a loop device: the file that the device is on. */
const BACKING = ".loop";

/** What one activation has on disk: a place for each mount by its number, and the record. */
export class ActivationFolder {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** Of the mount with this index. */
  place(index: number): string {
    return join(this.path, String(index));
  }

  async makePlace(index: number): Promise<string> {
    const place = this.place(index);
    await mkdir(place, { mode: 0o700 });
    return place;
  }

  /** Before the device is made. */
  async noteBacking(index: number, backing: string): Promise<void> {
    await writeFile(`${this.place(index)}${BACKING}`, backing, { mode: 0o600 });
  }

  async write(activation: HeldActivation): Promise<void> {
    const temporary = join(this.path, `${RECORD}.new`);
    const text = JSON.stringify(activation, (_key, value) =>
      typeof value === "bigint" ? { nanoseconds: String(value) } : value,
    );
    await writeFile(temporary, text, { mode: 0o600 });
    await rename(temporary, join(this.path, RECORD));
  }

  /** Undefined where it is missing, damaged, or says more than is mounted: after a reboot, for instance. */
  async read(mounts: readonly MountInfo[]): Promise<HeldActivation | undefined> {
    const activation = await this.#record();
    if (activation === undefined) return undefined;
    const mounted = new Set(mounts.map(({ target }) => target));
    for (const [index, { mountPoint }] of activation.active.entries()) {
      const backing = await this.#backing(index);
      const isThere =
        backing === undefined ? mounted.has(mountPoint) : await isLoopLinked(mountPoint, backing);
      if (!isThere) return undefined;
    }
    return activation;
  }

  async removeRecord(): Promise<void> {
    await rm(join(this.path, RECORD), { force: true });
  }

  /** Takes all mounts away, last first, then the folder. @throws what the kernel says; nothing below a mount is touched */
  async clear(binding: MountBinding): Promise<void> {
    await this.removeRecord();
    const names = await readdir(this.path);
    const indices = names.filter((name) => /^\d+$/.test(name)).map(Number);
    for (const index of indices.sort((a, b) => b - a)) {
      const place = this.place(index);
      const backing = await this.#backing(index);
      if (backing === undefined) {
        await unmountAll({ binding, target: place });
        await rmdir(place);
      } else await removeLoopLink({ binding, link: place, backing });
    }
    for (const name of names.filter((other) => !/^\d+$/.test(other)))
      await rm(join(this.path, name), { force: true });
    await rmdir(this.path);
  }

  async #backing(index: number): Promise<string | undefined> {
    return await readFile(`${this.place(index)}${BACKING}`, "utf8").catch(() => undefined);
  }

  async #record(): Promise<HeldActivation | undefined> {
    try {
      const text = await readFile(join(this.path, RECORD), "utf8");
      const record = JSON.parse(text, (_key, value) =>
        typeof value?.nanoseconds === "string" ? BigInt(value.nanoseconds) : value,
      ) as Partial<HeldActivation>;
      const isWhole = typeof record.name === "string" && Array.isArray(record.active);
      return isWhole ? (record as HeldActivation) : undefined;
    } catch {
      // Missing, or of another version: what it tells of is taken away.
      return undefined;
    }
  }
}
