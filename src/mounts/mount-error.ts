import { type ErrorCode, LazuliError } from "../errors/index.js";

interface Meaning {
  readonly code: ErrorCode;
  readonly reason: string;
}

/** What the kernel's answer to a mount means. */
const meanings: Readonly<Record<string, Meaning>> = {
  ENOENT: { code: "NOT_FOUND", reason: "mount-path-missing" },
  ENOTDIR: { code: "NOT_FOUND", reason: "mount-path-missing" },
  ENODEV: { code: "FAILED_PRECONDITION", reason: "file-system-unknown" },
  EPERM: { code: "PERMISSION_DENIED", reason: "mount-forbidden" },
  EACCES: { code: "PERMISSION_DENIED", reason: "mount-forbidden" },
  EBUSY: { code: "FAILED_PRECONDITION", reason: "mount-busy" },
  ESTALE: { code: "FAILED_PRECONDITION", reason: "mount-stale" },
  ENOTBLK: { code: "FAILED_PRECONDITION", reason: "mount-needs-device" },
  ELOOP: { code: "FAILED_PRECONDITION", reason: "mount-refused" },
  ENOSPC: { code: "RESOURCE_EXHAUSTED", reason: "mounts-exhausted" },
  EMFILE: { code: "RESOURCE_EXHAUSTED", reason: "mounts-exhausted" },
  ENFILE: { code: "RESOURCE_EXHAUSTED", reason: "mounts-exhausted" },
  ENOMEM: { code: "RESOURCE_EXHAUSTED", reason: "mounts-exhausted" },
  EAGAIN: { code: "RESOURCE_EXHAUSTED", reason: "mounts-exhausted" },
  EINVAL: { code: "INVALID_ARGUMENT", reason: "mount-refused" },
  EUCLEAN: { code: "DATA_LOSS", reason: "mount-damaged" },
  EIO: { code: "UNAVAILABLE", reason: "mount-unreadable" },
};

/** The same for anything else. */
const unknown: Meaning = { code: "FAILED_PRECONDITION", reason: "mount-refused" };

/** A failed mount as one of our errors; the message has what the kernel said. */
export function mountError(
  thrown: unknown,
  mount: { type: string; source: string; target: string },
): LazuliError {
  if (thrown instanceof LazuliError) return thrown;
  const { code, message } = thrown as NodeJS.ErrnoException;
  const { code: ours, reason } = meanings[code ?? ""] ?? unknown;
  return new LazuliError(ours, `Cannot mount ${mount.type} ${mount.source} on ${mount.target}: ${message}`, {
    subject: mount.target,
    reason,
    cause: thrown,
  });
}

/** The system call, or this use of it, is not there: another way may be. */
export function isMissingCall(thrown: unknown): boolean {
  const { code } = thrown as NodeJS.ErrnoException;
  // Filters of system calls answer EPERM for what they don't know.
  return code === "ENOSYS" || code === "EPERM";
}
