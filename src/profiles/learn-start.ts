import type { Digest } from "../bytes/index.js";
import { LazuliError } from "../errors/index.js";
import type { FoundPart } from "../layer/index.js";
import { log } from "../observe/index.js";
import { parseReference } from "../oci/index.js";
import type { StartTrace } from "../traces/index.js";
import type { StartRead, StartReads } from "./contract.js";
import { LAYERS_MAX } from "./limits.js";
import { shortCommand } from "./merge-starts.js";

/** Finds out what lies where in a layer. */
export interface FileFinder {
  filesIn(
    digest: Digest,
    ranges: readonly { readonly offset: number; readonly length: number }[],
    options?: { readonly signal?: AbortSignal | undefined },
  ): Promise<readonly FoundPart[]>;
}

/**
 * What a traced start read, by its files. A layer that is gone, or that can't be looked through, is left out.
 * @throws when `signal` is aborted
 */
export async function readsOf(
  trace: StartTrace,
  options: { readonly files: FileFinder; readonly signal?: AbortSignal | undefined },
): Promise<StartReads> {
  const { files, signal } = options;
  const found: StartRead[] = [];
  const layers = [...new Set(trace.layers.map(({ digest }) => digest))].slice(0, LAYERS_MAX);
  for (const [layer, digest] of layers.entries()) {
    const touches = trace.touches.filter((touch) => trace.layers[touch.layer]?.digest === digest);
    if (touches.length === 0) continue;
    try {
      for (const part of await files.filesIn(digest, touches, { signal })) {
        const { range, path, fileSize: size, offset, length } = part;
        found.push({ layer, path, size, offset, length, atMs: touches[range]!.atMs });
      }
    } catch (thrown) {
      signal?.throwIfAborted();
      log.debug("Cannot learn what a start read of a layer", {
        digest,
        error: LazuliError.from(thrown).message,
      });
    }
  }
  // The order of layers breaks ties; what lies behind each other in a layer stays so.
  found.sort((left, right) => left.atMs - right.atMs);
  return {
    repository: repositoryOf(trace.reference),
    manifest: trace.manifest,
    layers,
    command: shortCommand(trace.command),
    reads: found,
  };
}

/** `registry.example/library/python` of a reference; "" of what is none. */
export function repositoryOf(reference: string): string {
  if (reference === "") return "";
  try {
    const { registry, repository } = parseReference(reference);
    return `${registry}/${repository}`;
  } catch {
    // A client may call an image what it likes.
    return "";
  }
}
