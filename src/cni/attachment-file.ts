import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { log } from "../observe/index.js";
import type { NetworkList } from "./network-list.js";

/** What an ADD did, kept so that the DEL is made with the same config and gets the result back. */
export interface KeptAttachment {
  readonly id: string;
  readonly interface: string;
  readonly network: NetworkList;
  /** Undefined until the ADD has ended: its DEL is made without. */
  readonly result: Readonly<Record<string, unknown>> | undefined;
  readonly args: Readonly<Record<string, string>>;
  readonly capabilities: Readonly<Record<string, unknown>>;
}

/** Ends the name of a file that is being written. */
const UNFINISHED = ".new";

/** The kept attachments of all pods: a file each, in a folder that a reboot empties as it takes the namespaces. */
export class AttachmentFiles {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async put(kept: KeptAttachment): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    const path = this.#pathOf(kept);
    await writeFile(path + UNFINISHED, JSON.stringify(kept), { mode: 0o600 });
    await rename(path + UNFINISHED, path);
  }

  async remove(kept: Pick<KeptAttachment, "id" | "interface">): Promise<void> {
    await rm(this.#pathOf(kept), { force: true });
  }

  /** Of one pod, or of all, in the order of their interfaces: eth0, eth1, lo. */
  async list(id?: string): Promise<KeptAttachment[]> {
    const names = await readdir(this.#folder).catch(() => []); // No folder: nobody was attached yet.
    const found: KeptAttachment[] = [];
    for (const name of names.filter((one) => one.endsWith(".json")).sort()) {
      if (id !== undefined && !name.startsWith(`${id}@`)) continue;
      try {
        found.push(JSON.parse(await readFile(join(this.#folder, name), "utf8")) as KeptAttachment);
      } catch (thrown) {
        // Written by nobody but us and renamed whole; one that is broken can't be undone, only told.
        log.warn("Left out what is kept of a pod's network", { file: name, error: String(thrown) });
      }
    }
    return found;
  }

  /** Removes what a kill left of writes for pods that are not meant; nobody writes for those. */
  async clean(isKept: (id: string) => boolean): Promise<void> {
    const names = await readdir(this.#folder).catch(() => []); // No folder: nobody was attached yet.
    for (const name of names) {
      if (!name.endsWith(UNFINISHED) || isKept(name.split("@", 1)[0]!)) continue;
      await rm(join(this.#folder, name), { force: true });
    }
  }

  #pathOf({ id, interface: name }: Pick<KeptAttachment, "id" | "interface">): string {
    return join(this.#folder, `${id}@${name}.json`);
  }
}
