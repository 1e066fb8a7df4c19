import { randomBytes } from "node:crypto";
import type { CommandResult } from "./command.js";
import type { Lab } from "./lab.js";

const anyCode = Array.from({ length: 256 }, (_, code) => code);

/** Runs a shell line in a fresh container of an image on lazuli; does not throw when the line fails. */
export async function runInContainer(lab: Lab, image: string, line: string): Promise<CommandResult> {
  const id = `run-${randomBytes(4).toString("hex")}`;
  const words = ["run", "--rm", "--snapshotter", "lazuli", image, id, "/bin/sh", "-c", line];
  return await lab.containerd.ctr(words, { allow: anyCode });
}
