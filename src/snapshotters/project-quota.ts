import { randomInt } from "node:crypto";
import { failedPrecondition, invalidArgument, LazuliError, resourceExhausted } from "../errors/index.js";
import type { NativeProjectQuotas } from "../fuse/index.js";
import { TARGET_LABEL } from "../metadata/index.js";
import { log } from "../observe/index.js";

/** Bytes that an active snapshot may hold, as a whole number (containerd 2.4). A hint: who can't, ignores it. */
export const MAX_SIZE_LABEL = "containerd.io/snapshot/max-size";

export interface ProjectQuotaOptions {
  readonly quotas: NativeProjectQuotas;
  /** A folder on the file system of the snapshots. */
  readonly folder: string;
  /** For active snapshots without the label, except those that a layer is unpacked into. undefined: none. */
  readonly defaultBytes: number | undefined;
}

/**
 * Projects of snapshots: chosen by chance, so that neither another snapshotter on the same file system nor the projects
 * of others, who count from low numbers up, have to be known.
 */
const PROJECT_MIN = 2 ** 30;
const PROJECT_MAX = 2 ** 31 - 1;
/** Of a thousand million numbers, one that is taken is rare and eight are none. */
const TRIES_MAX = 8;

/** Limits what snapshots hold, by the project quotas of their file system. */
export class ProjectQuota {
  readonly #options: ProjectQuotaOptions;
  /** undefined: the file system has no quotas, and labels are ignored. */
  readonly #outerProject: number | undefined;
  #isIgnoranceTold = false;

  private constructor(options: ProjectQuotaOptions, outerProject: number | undefined) {
    this.#options = options;
    this.#outerProject = outerProject;
  }

  /** @throws FAILED_PRECONDITION `project-quota-missing` when there is a default that can't be kept */
  static async open(options: ProjectQuotaOptions): Promise<ProjectQuota> {
    const { quotas, folder, defaultBytes } = options;
    const { isEnforced } = await quotas.state(folder);
    if (isEnforced) return new ProjectQuota(options, await quotas.project(folder));
    if (defaultBytes === undefined) return new ProjectQuota(options, undefined);
    throw failedPrecondition(`Cannot limit snapshots in ${folder}: want project quotas that hold, got none`, {
      subject: folder,
      reason: "project-quota-missing",
      hint: "ext4: mkfs.ext4 -O quota,project, mounted with prjquota; xfs: mounted with prjquota. Or leave default_quota out",
    });
  }

  /** The limit that a new active snapshot gets, in bytes. @throws INVALID_ARGUMENT `max-size-invalid` */
  limitOf(labels: Readonly<Record<string, string>>): number | undefined {
    const asked = labels[MAX_SIZE_LABEL];
    if (asked === undefined) {
      const isLayer = (labels[TARGET_LABEL] ?? "") !== "";
      return isLayer ? undefined : this.#options.defaultBytes;
    }
    const bytes = /^\d{1,16}$/.test(asked) ? Number(asked) : 0;
    if (!Number.isSafeInteger(bytes) || bytes === 0) {
      throw invalidArgument(
        `Cannot limit a snapshot: want a whole number of bytes from 1 to ${Number.MAX_SAFE_INTEGER} in ${MAX_SIZE_LABEL}, got ${JSON.stringify(asked.slice(0, 40))}`,
        { subject: MAX_SIZE_LABEL, reason: "max-size-invalid" },
      );
    }
    if (this.#outerProject !== undefined) return bytes;
    this.#tellIgnorance();
    return undefined;
  }

  /** Limits what is made in these folders from now on, together; they are empty. Durable. */
  async limit(folders: readonly string[], bytes: number): Promise<void> {
    const { quotas, folder } = this.#options;
    const project = await this.#freeProject();
    await quotas.limit(folder, project, bytes);
    for (const one of folders) await quotas.assign(one, project);
  }

  /** A folder is about to be deleted: its limit goes, if it has one of ours. */
  async forget(path: string): Promise<void> {
    if (this.#outerProject === undefined) return;
    const { quotas, folder } = this.#options;
    try {
      const project = await quotas.project(path);
      const isOurs = project >= PROJECT_MIN && project <= PROJECT_MAX && project !== this.#outerProject;
      if (isOurs) await quotas.limit(folder, project, 0);
    } catch (thrown) {
      const { code } = thrown as NodeJS.ErrnoException;
      // A view has no such folder, and it may be gone already.
      if (code === "ENOENT" || code === "ENOTDIR") return;
      // A limit of nothing hurts nobody: the number is free again when nothing has it.
      log.warn("Cannot take a snapshot's limit away", { path, error: LazuliError.from(thrown).message });
    }
  }

  async #freeProject(): Promise<number> {
    const { quotas, folder } = this.#options;
    for (let attempt = 0; attempt < TRIES_MAX; attempt += 1) {
      const project = randomInt(PROJECT_MIN, PROJECT_MAX + 1);
      const { sizeBytes, inodes, limitBytes } = await quotas.usage(folder, project);
      if (sizeBytes === 0 && inodes === 0 && limitBytes === 0) return project;
    }
    throw resourceExhausted(
      `Cannot limit a snapshot in ${folder}: want a project that nobody has, got none`,
      {
        subject: folder,
        reason: "projects-exhausted",
      },
    );
  }

  #tellIgnorance(): void {
    if (this.#isIgnoranceTold) return;
    this.#isIgnoranceTold = true;
    log.warn("Ignores the sizes that clients ask for: the file system has no project quotas that hold", {
      folder: this.#options.folder,
      label: MAX_SIZE_LABEL,
    });
  }
}

/** @throws FAILED_PRECONDITION `project-quota-missing` */
export async function openProjectQuota(options: ProjectQuotaOptions): Promise<ProjectQuota> {
  return await ProjectQuota.open(options);
}
