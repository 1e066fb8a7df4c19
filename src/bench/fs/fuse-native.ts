import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { join } from "node:path";
import { unavailable } from "../../errors/index.js";
import { projectFolder } from "../project-folder.js";
import { type Cleanup, command } from "../tools/index.js";

const server = join(projectFolder, "bench", "fs", "fuse-native-server.cjs");
const dependency = join(projectFolder, "node_modules", "fuse-native", "package.json");

/** Undefined: it is there. It is a dependency of development only, which the shipped program has not. */
export function fuseNativeMissing(): string | undefined {
  if (existsSync(server) && existsSync(dependency)) return undefined;
  return "fuse-native was left out: it comes with lazuli's working tree only";
}

/** A folder as a server on fuse-native (libfuse 2) shows it, from an index in memory. @throws UNAVAILABLE */
export async function mountFuseNative(options: {
  readonly source: string;
  readonly work: string;
  readonly cleanup: Cleanup;
}): Promise<string> {
  const folder = await mkdtemp(join(options.work, "fuse-native-"));
  const child = spawn(process.execPath, [server, options.source, folder], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    said = `${said}${text}`.slice(-2000);
  });
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  await new Promise<void>((resolve, reject) => {
    child.stdout.once("data", () => resolve());
    child.once("exit", (code) =>
      reject(
        unavailable(`Cannot serve a folder by fuse-native: it ended with ${code}: ${said}`, {
          reason: "fuse-native-failed",
          hint: "scripts/setup-bench.sh installs libfuse 2",
        }),
      ),
    );
  });
  options.cleanup.add(async () => {
    await command("umount", ["-l", folder], { allow: [1, 32] });
    if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
    await ended;
  });
  return folder;
}
