import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { command } from "./command.js";
import { startContainerd } from "./containerd.js";
import type { DockerRegistry } from "./docker-registry.js";

const OBSERVED_SECONDS = 3;

/**
 * Lets Debian's ctr-remote run an image and put what it read in front of a prefetch landmark.
 * @returns the folder of an OCI layout below `folder`, its manifest tagged `tag`
 */
export async function optimiseImage(options: {
  readonly registry: DockerRegistry;
  /** Repository and tag of the ordinary image. */
  readonly source: string;
  readonly tag: string;
  readonly args: readonly string[];
  readonly folder: string;
}): Promise<string> {
  const { registry, folder } = options;
  const work = await mkdtemp(join(tmpdir(), "lazuli-optimise-"));
  try {
    const containerd = await startContainerd({ folder: join(work, "containerd") });
    try {
      const source = `${registry.host}/${options.source}`;
      const target = `lazuli.test/optimised:${options.tag}`;
      await containerd.ctr(["images", "pull", "--plain-http", source]);
      const observed = ["--period", String(OBSERVED_SECONDS), "--args", JSON.stringify(options.args)];
      await containerd.ctrRemote(["images", "optimize", "--oci", ...observed, source, target]);
      const archive = join(work, "image.tar");
      await containerd.ctr(["images", "export", archive, target]);
      const layout = join(folder, "optimised");
      await mkdir(layout, { recursive: true });
      await command("tar", ["-C", layout, "-xf", archive]);
      return layout;
    } finally {
      await containerd.stop();
    }
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}
