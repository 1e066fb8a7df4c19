import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { failedPrecondition } from "../errors/index.js";
import type { NativeBinding } from "./binding.js";

const require = createRequire(import.meta.url);

/** Where the addon may lie, seen from this file: in the package when compiled (dist/src/fuse), and when run from source. */
const places = ["../../../build/Release/lazuli.node", "../../build/Release/lazuli.node"];

let loaded: NativeBinding | undefined;

/** Loads the native addon; the second call gives the same. @throws FAILED_PRECONDITION with what was tried */
export function loadBinding(): NativeBinding {
  loaded ??= load();
  return loaded;
}

function load(): NativeBinding {
  const tried: string[] = [];
  let cause: unknown;
  for (const place of places) {
    const path = fileURLToPath(new URL(place, import.meta.url));
    if (!existsSync(path)) {
      tried.push(`${path} (does not exist)`);
      continue;
    }
    try {
      return require(path) as NativeBinding;
    } catch (error) {
      cause = error;
      tried.push(`${path} (${error instanceof Error ? error.message : String(error)})`);
    }
  }
  throw failedPrecondition(`Cannot load the native addon: tried ${tried.join(", ")}`, {
    reason: "native-addon-missing",
    hint: "Build it for this Node with: npm run setup",
    cause,
  });
}
