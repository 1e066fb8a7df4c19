import { sha256 } from "../bytes/index.js";
import { dataLoss } from "../errors/index.js";
import type { Compilers } from "./compile-layer.js";
import type { LayerFiles } from "./layer-folder.js";

/**
 * Compares a complete layer, whose data file is its archive, with what its index said of it: the digest that the image's
 * config has for the archive, and the tree. Nothing to do where the index was made from the archive itself.
 * @throws DATA_LOSS `diff-id-mismatch`, `index-other-tree`; as the tar room
 */
export async function checkArchive(
  compilers: Compilers,
  { record, paths, units }: Pick<LayerFiles, "record" | "paths" | "units">,
): Promise<void> {
  const { digest, diffId, blobSize, metaSha256 } = record;
  if (diffId === undefined) return;
  const input = {
    format: "archive",
    dataPath: paths.data,
    dataSize: units.dataSize,
    blobSize,
    diffId,
  } as const;
  const { meta } = await compilers.compile({ input, subject: digest });
  if (sha256(meta) === metaSha256) return;
  throw dataLoss(`Cannot use layer ${digest}: its index describes other files than its archive has`, {
    subject: digest,
    reason: "index-other-tree",
    hint: "The image's index lies: remove the image, and pull it without this index",
  });
}
