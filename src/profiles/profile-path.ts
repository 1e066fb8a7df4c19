import { NAME_BYTES_MAX, PATH_BYTES_MAX } from "./limits.js";

/** Whether a profile may name this file: relative, without dots, empty names and control characters. */
export function isProfilePath(path: string): boolean {
  if (path.length > PATH_BYTES_MAX || /\p{Cc}|\p{Cs}/u.test(path)) return false;
  if (Buffer.byteLength(path) > PATH_BYTES_MAX) return false;
  return path.split("/").every((name) => {
    if (name === "" || name === "." || name === "..") return false;
    return Buffer.byteLength(name) <= NAME_BYTES_MAX;
  });
}
