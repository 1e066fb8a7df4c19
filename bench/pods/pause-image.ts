import { copyFile, mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { command } from "../../testing/rig/command.js";
import { projectRoot } from "../../testing/rig/lab.js";
import { writeOciArchive } from "../../testing/rig/oci-archive.js";

export const PAUSE_IMAGE = "lazuli.test/pause:latest";

/** What holds a pod's namespaces at containerd, as every node has it already: our own pause program in an image. */
export async function pauseImageArchive(folder: string): Promise<string> {
  const tree = join(folder, "pause");
  await mkdir(tree, { recursive: true });
  await copyFile(join(projectRoot, "build", "Release", "lazuli-pause"), join(tree, "pause"));
  const layer = join(folder, "pause.tar");
  await command("tar", ["-C", tree, "--numeric-owner", "-cf", layer, "."]);
  const archive = join(folder, "pause.oci.tar");
  await writeOciArchive({ layers: [layer], config: { Cmd: ["/pause"] }, name: PAUSE_IMAGE, archive });
  await rm(tree, { recursive: true });
  return archive;
}
