import { constants } from "node:fs";
import { access, stat } from "node:fs/promises";
import { delimiter, dirname, isAbsolute, join } from "node:path";
import { failedPrecondition, invalidArgument } from "../errors/index.js";

/**
 * The program of a runtime: the path itself where it is one, else `containerd-shim-<name>-<version>` of the last two
 * words, from PATH or beside `daemonProgram`. The messages are containerd's (core/runtime/v2/shim_manager.go).
 * @throws INVALID_ARGUMENT for a name that can't be one; FAILED_PRECONDITION when it is not installed
 */
export async function shimProgram(options: {
  readonly runtime: string;
  readonly daemonProgram: string;
}): Promise<string> {
  const { runtime, daemonProgram } = options;
  if (runtime === "") throw invalidArgument("no runtime name", { reason: "runtime-name-invalid" });
  if (isAbsolute(runtime)) {
    if (await isFile(runtime)) return runtime;
    throw failedPrecondition(`invalid custom binary path: stat ${runtime}: no such file or directory`, {
      subject: runtime,
      reason: "shim-missing",
    });
  }
  const words = runtime.split(".");
  if (runtime.includes("/") || words.length < 2 || words.includes("")) {
    throw invalidArgument(
      `invalid runtime name ${runtime}, correct runtime name should be either format like \`io.containerd.runc.v2\` or a full path to the binary`,
      { subject: runtime, reason: "runtime-name-invalid" },
    );
  }
  const name = `containerd-shim-${words.at(-2)}-${words.at(-1)}`;
  const folders = [...(process.env.PATH ?? "").split(delimiter).filter(isAbsolute), dirname(daemonProgram)];
  for (const folder of folders) {
    const path = join(folder, name);
    if (await isExecutable(path)) return path;
  }
  throw failedPrecondition(
    `runtime ${JSON.stringify(runtime)} binary not installed ${JSON.stringify(name)}: file does not exist`,
    { subject: runtime, reason: "shim-missing", hint: `Install ${name} into a folder of PATH` },
  );
}

async function isFile(path: string): Promise<boolean> {
  const facts = await stat(path).catch(() => undefined); // Not there, or not to be seen: the same to us.
  return facts?.isFile() === true;
}

async function isExecutable(path: string): Promise<boolean> {
  if (!(await isFile(path))) return false;
  return await access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}
