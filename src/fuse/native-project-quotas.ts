/** What the inodes of one project hold together. */
export interface NativeProjectUsage {
  readonly sizeBytes: number;
  readonly inodes: number;
  /** Writes beyond it fail; 0: none. */
  readonly limitBytes: number;
}

/**
 * Quotas of projects (quotactl_fd(2), Linux 5.14), off the JS thread. `path` is a folder of the file system that is
 * meant. Projects are 1 to 2^32-2. A failed call throws an Error with `code` and `syscall`.
 */
export interface NativeProjectQuotas {
  /** Both false where the file system has no such quotas, or the kernel no call for them. */
  state(path: string): Promise<{ readonly isAccounted: boolean; readonly isEnforced: boolean }>;
  /** The project of a folder; 0: none. ENOTTY or EOPNOTSUPP where the file system has none. */
  project(path: string): Promise<number>;
  /** Puts an empty folder, and all that will be made below, into a project. Durable. */
  assign(path: string, project: number): Promise<void>;
  /** Rounded up to whole KiB; 0 takes the limit away. */
  limit(path: string, project: number, limitBytes: number): Promise<void>;
  usage(path: string, project: number): Promise<NativeProjectUsage>;
}
