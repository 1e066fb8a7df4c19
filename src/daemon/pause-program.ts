import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { failedPrecondition } from "../errors/index.js";

/** Where the program may lie, seen from this file: compiled (dist/src/daemon), bundled, and when run from source. */
const places = ["../../../build/Release/lazuli-pause", "../../build/Release/lazuli-pause"];

/** Path of the static program that holds pods. @throws FAILED_PRECONDITION `pause-missing` */
export function pauseProgram(): string {
  const tried = places.map((place) => fileURLToPath(new URL(place, import.meta.url)));
  const found = tried.find((path) => existsSync(path));
  if (found !== undefined) return found;
  throw failedPrecondition(`Cannot find the program that holds pods: tried ${tried.join(", ")}`, {
    reason: "pause-missing",
    hint: "Build it with: npm run setup",
  });
}
