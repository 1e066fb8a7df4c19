import { chmod, mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { invalidArgument } from "../errors/index.js";
import type { SnapshotKind } from "./contract.js";

const folders: Readonly<Record<SnapshotKind, string>> = {
  active: "active",
  view: "view",
  committed: "snapshots",
};
const kinds: readonly SnapshotKind[] = ["active", "view", "committed"];

/** A subvolume of a snapshot: one that was active has two until the first is deleted. */
export interface BtrfsPlace {
  readonly id: number;
  readonly kind: SnapshotKind;
  readonly path: string;
}

/**
 * Where the subvolumes of snapshots are, as containerd has them:
 *
 *     <root>                  0700
 *     <root>/active/<id>      writable
 *     <root>/view/<id>        read-only
 *     <root>/snapshots/<id>   read-only, of committed ones
 */
export class BtrfsPlaces {
  readonly root: string;

  private constructor(root: string) {
    this.root = root;
  }

  static async open(root: string): Promise<BtrfsPlaces> {
    if (!root.startsWith("/")) {
      throw invalidArgument(`Cannot keep snapshots in ${root}: want an absolute path`, {
        subject: root,
        reason: "root-unusable",
      });
    }
    await mkdir(root, { recursive: true });
    await chmod(root, 0o700);
    for (const kind of kinds) await mkdir(join(root, folders[kind]), { recursive: true });
    return new BtrfsPlaces(root);
  }

  of(id: number, kind: SnapshotKind): BtrfsPlace {
    return { id, kind, path: join(this.root, folders[kind], String(id)) };
  }

  /** All that are there. Other names are not ours. */
  async list(): Promise<BtrfsPlace[]> {
    const found = await Promise.all(
      kinds.map(async (kind) => {
        const names = await readdir(join(this.root, folders[kind]));
        return names.filter((name) => /^[1-9]\d*$/.test(name)).map((name) => this.of(Number(name), kind));
      }),
    );
    return found.flat();
  }

  async idTaken(): Promise<number> {
    const places = await this.list();
    return places.reduce((largest, { id }) => Math.max(largest, id), 0);
  }

  /** All subvolumes of one id that may be there. */
  all(id: number): BtrfsPlace[] {
    return kinds.map((kind) => this.of(id, kind));
  }
}
