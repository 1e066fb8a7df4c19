import { invalidArgument, type LazuliError, resourceExhausted, unimplemented } from "../errors/index.js";

/** Why an archive can't be used: the `reason` of the error. */
export type TarReason =
  | "tar-truncated"
  | "tar-checksum"
  | "tar-end-malformed"
  | "tar-number"
  | "tar-time"
  | "tar-size"
  | "tar-pax"
  | "tar-sparse"
  | "tar-sparse-data"
  | "tar-entry-type"
  | "tar-name"
  | "tar-parent"
  | "tar-link-loop"
  | "tar-symlink"
  | "tar-hardlink-missing"
  | "tar-hardlink-target"
  | "tar-directory-gone"
  | "tar-device"
  | "tar-owner"
  | "tar-xattr"
  | "tar-acl"
  | "tar-whiteout"
  | "tar-whiteout-conflict";

/** Why an archive is more than we take. */
export type TarLimit =
  | "tar-header-too-large"
  | "tar-file-too-large"
  | "tar-sparse-too-long"
  | "tar-too-many-entries"
  | "tar-path-too-long"
  | "tar-too-much-metadata";

/** What a tar may have and we don't do; containerd refuses most of it, too. */
export type TarGap = "tar-multi-volume" | "tar-acl-default" | "tar-whiteout-parent";

/** Longest piece of a stranger's text in a message. */
const SHOWN_LENGTH = 80;

/** A stranger's bytes for a message: what is not printable ASCII is escaped. */
export function shown(text: string): string {
  const cut = text.length > SHOWN_LENGTH ? `${text.slice(0, SHOWN_LENGTH)}…` : text;
  return `"${cut.replace(/[^ -~…]/g, (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`)}"`;
}

function text(problem: string, offset: number | undefined): string {
  return offset === undefined
    ? `Cannot use tar: ${problem}`
    : `Cannot use tar: at offset ${offset}: ${problem}`;
}

/** `offset` is that of the header that is to blame. */
export function refuseTar(reason: TarReason, problem: string, offset?: number): LazuliError {
  return invalidArgument(text(problem, offset), { reason });
}

export function refuseTarSize(reason: TarLimit, problem: string, offset?: number): LazuliError {
  return resourceExhausted(text(problem, offset), { reason });
}

export function refuseTarKind(reason: TarGap, problem: string, offset?: number): LazuliError {
  return unimplemented(text(problem, offset), {
    reason,
    hint: "Let containerd unpack this layer without lazuli",
  });
}
