import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import type { Digest } from "../bytes/index.js";
import { dataLoss, LazuliError, unavailable } from "../errors/index.js";
import { type NativeBinding, type NativePlane, sessionKinds } from "../fuse/index.js";
import { mountErofs } from "./erofs-mount.js";
import { mountedChannel } from "./events.js";
import type { LayerFiles } from "./layer-folder.js";
import type { Rung } from "./mount-ladder.js";
import { type LayerPaths, layerMountPath, statePaths } from "./paths.js";
import type { Sessions } from "./sessions.js";
import { makeMountFolder, removeMountFolder, unmount } from "./unmount.js";

/** What open(2) and read(2) say of a file that is gone, is none any more, or lies where the disk is broken. */
const notReadable = new Set(["ENOENT", "EISDIR", "ELOOP", "EIO"]);

export interface LayerMountsOptions {
  readonly binding: NativeBinding;
  readonly state: string;
  readonly rung: Rung;
  readonly number: number;
  readonly digest: Digest;
  readonly metaSha256: Digest;
  readonly paths: LayerPaths;
  readonly sessions: Sessions;
  readonly found: FoundMounts;
}

/** What an earlier process left of a layer. */
export interface FoundMounts {
  /** The mount on the local data, which is sound. */
  readonly hasLocal: boolean;
  /** The mount through FUSE, which this process answers for. */
  readonly hasFuse: boolean;
  /** The session of a tree. */
  readonly session: number | undefined;
}

/** The mounts of one layer: through FUSE, and on the local data file once the layer is complete. */
export class LayerMounts {
  readonly #options: LayerMountsOptions;
  #fuse: Promise<string> | undefined;
  #local: Promise<string> | undefined;
  #isFuseMounted = false;
  #isLocalMounted: boolean;
  #session: number | undefined;
  #isMetaIntact = false;

  constructor(options: LayerMountsOptions) {
    this.#options = options;
    const { state, number, found } = options;
    this.#isLocalMounted = found.hasLocal;
    this.#isFuseMounted = found.hasFuse;
    this.#session = found.session;
    if (found.hasFuse) this.#fuse = Promise.resolve(layerMountPath(state, number, "fuse"));
  }

  /** Whether somebody may read through this process. */
  get isThroughFuse(): boolean {
    return this.#isFuseMounted;
  }

  /** Where it is mounted, as far as this process knows. */
  get places(): readonly string[] {
    const { state, number } = this.#options;
    const kinds = { fuse: this.#isFuseMounted, local: this.#isLocalMounted };
    return (["fuse", "local"] as const)
      .filter((kind) => kinds[kind])
      .map((kind) => layerMountPath(state, number, kind));
  }

  /** Somebody took a mount away: the next user gets a new one. */
  async lost(place: string): Promise<void> {
    const { state, number } = this.#options;
    if (place === layerMountPath(state, number, "local")) {
      this.#local = undefined;
      this.#isLocalMounted = false;
      return;
    }
    this.#fuse = undefined;
    this.#isFuseMounted = false;
    await this.#closeSession();
  }

  get kind(): "erofs" | "fuse-tree" | "none" {
    return this.#isFuseMounted || this.#isLocalMounted ? this.#options.rung.kind : "none";
  }

  /** Whether somebody new may be on the local data, or soon will. */
  get hasLocal(): boolean {
    return this.#isLocalMounted || this.#local !== undefined;
  }

  /** Whether this kernel can mount complete layers past FUSE. */
  get canBeLocal(): boolean {
    return this.#options.rung.kind === "erofs";
  }

  /** Mounts through FUSE, once; returns the folder. @throws UNAVAILABLE, DATA_LOSS */
  async throughFuse(): Promise<string> {
    this.#fuse ??= this.#mount("fuse").catch((thrown: unknown) => {
      this.#fuse = undefined;
      throw thrown;
    });
    return await this.#fuse;
  }

  /** Mounts on the local data file, once; every unit must have been checked. @throws UNAVAILABLE, DATA_LOSS */
  async onLocalData(): Promise<string> {
    this.#local ??= this.#mount("local").catch((thrown: unknown) => {
      this.#local = undefined;
      throw thrown;
    });
    return await this.#local;
  }

  /** The data file turned out to be damaged: nobody new may read it past FUSE. */
  async leaveLocalData(): Promise<void> {
    const { binding, state, number } = this.#options;
    const mounting = this.#local;
    this.#local = undefined;
    // A mount that failed leaves nothing behind to take away.
    await mounting?.catch(() => undefined);
    if (!this.#isLocalMounted) return;
    this.#isLocalMounted = false;
    await unmount(binding, layerMountPath(state, number, "local"));
  }

  /** Waits for mounts that are being made. */
  async settle(): Promise<void> {
    await Promise.allSettled([this.#fuse, this.#local]);
  }

  /** Takes all mounts away; who still uses them keeps them until done. */
  async remove(): Promise<void> {
    const { binding, state, number } = this.#options;
    await this.leaveLocalData();
    // A mount that failed leaves nothing behind to take away.
    await this.#fuse?.catch(() => undefined);
    this.#fuse = undefined;
    const target = layerMountPath(state, number, "fuse");
    if (this.#isFuseMounted) await unmount(binding, target);
    this.#isFuseMounted = false;
    await this.#closeSession();
    await removeMountFolder(target);
    await removeMountFolder(layerMountPath(state, number, "local"));
  }

  async #mount(kind: "fuse" | "local"): Promise<string> {
    const { state, number, rung, digest } = this.#options;
    const startedAt = performance.now();
    const target = layerMountPath(state, number, kind);
    if (kind === "local" && this.#isLocalMounted) return target;
    await this.#checkMeta();
    try {
      await makeMountFolder(target);
      if (rung.kind === "fuse-tree") await this.#mountTree(target);
      else await this.#mountErofs(kind, target, rung.isDirect);
    } catch (thrown) {
      throw unavailable(`Cannot mount layer ${digest} at ${target}: ${LazuliError.from(thrown).message}`, {
        subject: digest,
        reason: "mount-failed",
        cause: thrown,
      });
    }
    if (kind === "local") this.#isLocalMounted = true;
    else this.#isFuseMounted = true;
    mountedChannel.publish({
      digest,
      kind: kind === "local" ? "erofs-local" : rung.kind,
      milliseconds: performance.now() - startedAt,
    });
    return target;
  }

  async #mountErofs(kind: "fuse" | "local", target: string, isDirect: boolean): Promise<void> {
    const { binding, state, number, paths } = this.#options;
    const device = kind === "local" ? paths.data : join(statePaths(state).data, String(number));
    await mountErofs({ binding, meta: paths.meta, device, isDirect, target });
  }

  async #mountTree(target: string): Promise<void> {
    const { binding, sessions, number } = this.#options;
    const fuseFd = binding.openFuse();
    const session = await sessions.mount({ kind: sessionKinds.tree, layer: number, fuseFd, target });
    this.#session = session;
    await sessions.keep(session, { name: `tree-${number}`, target });
  }

  async #closeSession(): Promise<void> {
    const session = this.#session;
    this.#session = undefined;
    if (session !== undefined) await this.#options.sessions.close(session);
  }

  /** The meta image has no checksum of its own, and the kernel believes it: looked at before the first mount. */
  async #checkMeta(): Promise<void> {
    if (this.#isMetaIntact) return;
    const { paths, metaSha256, digest } = this.#options;
    const hash = createHash("sha256");
    let cause: unknown;
    try {
      for await (const piece of createReadStream(paths.meta)) hash.update(piece as Buffer);
    } catch (thrown) {
      if (!notReadable.has((thrown as NodeJS.ErrnoException).code ?? "")) throw thrown;
      cause = thrown;
    }
    if (cause !== undefined || `sha256:${hash.digest("hex")}` !== metaSha256) {
      throw dataLoss(`Cannot mount layer ${digest}: its meta image is damaged`, {
        subject: digest,
        reason: "meta-damaged",
        hint: "It is made again for its next user once no container uses it",
        cause,
      });
    }
    this.#isMetaIntact = true;
  }
}

/** Gives a layer's files to the plane, which keeps descriptors of its own. */
export async function addToPlane(options: {
  readonly plane: NativePlane;
  readonly number: number;
  readonly files: LayerFiles;
  /** A FUSE session may show its tree. */
  readonly hasTree: boolean;
}): Promise<void> {
  const { plane, number, files, hasTree } = options;
  const { data, units, present, sums, windows } = files;
  const layer = {
    number,
    dataFd: data.fd,
    units: units.buffer,
    present: present.bytes,
    ...(sums === undefined ? {} : { sums }),
    ...(windows === undefined ? {} : { windows: { fd: windows.fd, offset: 0, count: units.windowCount } }),
  };
  if (!hasTree) {
    plane.addLayer({ ...layer, metaFd: -1 });
    return;
  }
  const meta = await open(files.paths.meta, "r");
  try {
    plane.addLayer({ ...layer, metaFd: meta.fd });
  } finally {
    await meta.close();
  }
}
