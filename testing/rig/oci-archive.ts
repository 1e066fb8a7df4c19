import { rm } from "node:fs/promises";
import { type LayoutConfig, writeLayout } from "../../src/bench/images/index.js";
import { command } from "./command.js";

export type ImageConfig = LayoutConfig;

/** Packs layer tars into an OCI archive that `ctr images import` takes, with gzip layers. */
export async function writeOciArchive(options: {
  readonly layers: readonly string[];
  readonly config: ImageConfig;
  readonly name: string;
  readonly archive: string;
  readonly gzipLevel?: number;
}): Promise<void> {
  const { archive, ...image } = options;
  const folder = `${archive}.layout`;
  await writeLayout({ ...image, folder });
  await command("tar", ["-C", folder, "-cf", archive, "oci-layout", "index.json", "blobs"]);
  await rm(folder, { recursive: true });
}
