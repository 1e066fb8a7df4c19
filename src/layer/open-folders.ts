import pLimit from "p-limit";
import { failedPrecondition } from "../errors/index.js";
import { log } from "../observe/index.js";
import { type LayerFiles, listLayerFolders, openLayerFolder } from "./layer-folder.js";
import { ADOPT_CONCURRENCY } from "./limits.js";
import { layerPaths } from "./paths.js";

/** Reads all layers on disk; one that is damaged is left out. */
export async function openFolders(root: string): Promise<LayerFiles[]> {
  const limit = pLimit(ADOPT_CONCURRENCY);
  const folders = await listLayerFolders(root);
  const opened = await Promise.all(
    folders.map((folder) =>
      limit(async () => {
        try {
          const files = await openLayerFolder(folder);
          if (layerPaths(root, files.record.digest).folder === folder) return files;
          await files.data.close();
          await files.windows?.close();
          throw failedPrecondition("Its layer.json names another layer", { reason: "layer-record-damaged" });
        } catch (thrown) {
          log.warn("Left out a damaged layer; it is fetched again when it is next asked for", {
            path: folder,
            error: String(thrown),
          });
          return undefined;
        }
      }),
    ),
  );
  return opened.filter((files) => files !== undefined);
}
