import { normalize } from "node:path/posix";

/** As Go's path.Clean: without `.`, `..` where it can be, double slashes, and a slash at the end. */
export function cleanPath(path: string): string {
  return normalize(path).replace(/(.)\/$/, "$1");
}
