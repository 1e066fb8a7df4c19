import { mkdir, realpath, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { failedPrecondition, type LazuliError } from "../errors/index.js";
import {
  type IdMappedLowers,
  type IdMapping,
  type IdMappingSupport,
  idmappedLowers,
  type MappedLowersClaim,
  type MountBinding,
  probeIdMapping,
  remapIntoUpper,
} from "../mounts/index.js";
import { idMappingOf } from "./id-mapping.js";

/**
 * How a snapshot with an id mapping is mounted:
 * - `mounts`: its layers are mounted idmapped by us, and the client mounts those;
 * - `options`: the client is told by `uidmap=` and `gidmap=`, as containerd 2 does and understands;
 * - `chown`: its layers are copied with other owners, where no mount can be idmapped.
 */
export type IdMappingMode = "mounts" | "options" | "chown";

export interface OverlayIdMappingOptions {
  readonly binding: MountBinding;
  readonly mode: IdMappingMode;
  /** A folder of its own for mounts, in a state folder; made when it is missing. */
  readonly folder: string;
  /** A folder on the file system of the layers, where it is tried whether the kernel can map them. */
  readonly root: string;
}

export interface CopyForMapping {
  readonly id: number;
  readonly mapping: IdMapping;
  /** Nearest first. */
  readonly lowers: readonly string[];
  /** Empty folders of one file system: the copy, and what overlayfs needs to make it. */
  readonly upper: string;
  readonly work: string;
  readonly signal?: AbortSignal | undefined;
}

/** Gives the layers of snapshots the owners of user namespaces. */
export class OverlayIdMapping {
  readonly mode: IdMappingMode;
  /** Whether this kernel can mount layers idmapped. */
  readonly support: IdMappingSupport;
  readonly #binding: MountBinding;
  readonly #folder: string;
  readonly #mapped: IdMappedLowers;
  /** Snapshots that hold mapped layers. */
  readonly #holders = new Set<number>();

  private constructor(
    options: OverlayIdMappingOptions,
    parts: { folder: string; support: IdMappingSupport; mapped: IdMappedLowers },
  ) {
    this.mode = options.mode;
    this.support = parts.support;
    this.#binding = options.binding;
    this.#folder = parts.folder;
    this.#mapped = parts.mapped;
  }

  static async open(options: OverlayIdMappingOptions): Promise<OverlayIdMapping> {
    const { binding, root } = options;
    await mkdir(options.folder, { recursive: true, mode: 0o711 });
    await mkdir(root, { recursive: true, mode: 0o700 });
    // The kernel's table of mounts has real paths.
    const folder = await realpath(options.folder);
    return new OverlayIdMapping(options, {
      folder,
      support: await probeIdMapping(binding, root),
      mapped: await idmappedLowers({ binding, folder }),
    });
  }

  /** In containerd's words: a client with a mapping puts it on a Prepare if it may, and else changes owners by itself. */
  get capabilities(): readonly string[] {
    return [
      ...(this.support.isSupported || this.mode === "chown" ? ["remap-ids"] : []),
      ...(this.mode === "chown" ? [] : ["only-remap-ids"]),
    ];
  }

  /** The mapping that labels ask for. @throws INVALID_ARGUMENT `id-mapping-invalid`; FAILED_PRECONDITION `idmap-unsupported` */
  mappingOf(labels: Readonly<Record<string, string>>): IdMapping | undefined {
    const mapping = idMappingOf(labels);
    if (mapping === undefined || this.support.isSupported || this.mode === "chown") return mapping;
    throw unmappable(this.support.why);
  }

  /**
   * Mounts layers idmapped; they stay until `release`. @throws FAILED_PRECONDITION `idmap-unsupported` for a layer on a
   * file system that can't be mapped
   */
  async claim(
    options: MappedLowersClaim & { id: number; signal?: AbortSignal | undefined },
  ): Promise<readonly string[]> {
    const { id, lowers, mapping, signal } = options;
    this.#holders.add(id);
    return await this.#mapped.claim({ holder: String(id), lowers, mapping, signal });
  }

  /** A snapshot needs its mapped layers no more. Who has mounted them keeps them until done. */
  async release(id: number): Promise<void> {
    if (!this.#holders.delete(id)) return;
    await this.#mapped.release(String(id));
  }

  /** Takes away what snapshots hold that are none by now. */
  async releaseOthers(idsInUse: () => ReadonlySet<number>): Promise<void> {
    const holders = [...this.#holders];
    if (holders.length === 0) return;
    // Asked after the listing: only what has a row may claim, so whoever has none now has lost it.
    const inUse = idsInUse();
    for (const id of holders) if (!inUse.has(id)) await this.release(id);
  }

  /** Before anything else, after a start: takes away what an earlier process mounted, except for these. */
  async reconcile(claims: ReadonlyMap<number, MappedLowersClaim>): Promise<void> {
    for (const id of claims.keys()) this.#holders.add(id);
    await this.#mapped.reconcile(new Map([...claims].map(([id, claim]) => [String(id), claim])));
  }

  /** Copies all that layers show into a layer with mapped owners. Not synced. @throws as remapIntoUpper */
  async copy(options: CopyForMapping): Promise<void> {
    const { id, ...rest } = options;
    // What a crash leaves mounted here, `reconcile` finds.
    const target = join(this.#folder, `copy-${id}`);
    await mkdir(target, { recursive: true, mode: 0o700 });
    try {
      // Without the content the copy could be mounted with `metacopy=on` only, and so would what is written above it.
      await remapIntoUpper({ binding: this.#binding, ...rest, target, isMetacopy: false });
    } finally {
      await rmdir(target);
    }
  }
}

/** @throws what making a folder throws */
export async function openOverlayIdMapping(options: OverlayIdMappingOptions): Promise<OverlayIdMapping> {
  return await OverlayIdMapping.open(options);
}

/** A snapshot can't have the owners that its labels ask for. */
export function unmappable(why: string): LazuliError {
  return failedPrecondition(`Cannot map the ids of a snapshot: ${why}`, {
    reason: "idmap-unsupported",
    hint: 'It needs Linux 5.19; id_mapping = "chown" copies the layers and changes their owners instead',
  });
}
