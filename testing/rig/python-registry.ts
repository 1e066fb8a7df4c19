import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { DockerRegistry } from "./docker-registry.js";
import { imageCache, registryWithImage } from "./estargz-image.js";
import { pythonImageArchive, pythonImageName } from "./python-image.js";

/**
 * A registry with the python image as `python:org` and, converted by Debian's ctr-remote, `python:esgz`. Made once below
 * the project's build folder and kept there.
 */
export async function pythonRegistry(options: {
  readonly projectRoot: string;
  readonly scratch: string;
}): Promise<DockerRegistry> {
  const cache = imageCache(options.projectRoot);
  await mkdir(cache, { recursive: true });
  return await registryWithImage({
    folder: join(cache, "python-registry"),
    scratch: join(options.scratch, "convert"),
    repository: "python",
    makeArchive: async () => ({
      archive: await pythonImageArchive({ folder: cache }),
      name: pythonImageName,
    }),
    variants: { esgz: [] },
  });
}
