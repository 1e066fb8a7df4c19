import { tmpdir } from "node:os";
import { resolve } from "node:path";
import { benchStore } from "../bench/index.js";
import { failedPrecondition } from "../errors/index.js";
import { writeReport } from "./bench-output.js";
import type { CommandInput, CommandResult } from "./command.js";
import { numberOption, usageError } from "./image-options.js";
import { signalled } from "./signalled.js";

export async function runBenchStore(input: CommandInput): Promise<CommandResult> {
  const { options, tell } = input;
  const isQuick = options.quick !== undefined;
  const facts = {
    rounds: numberOption(input, "rounds") ?? (isQuick ? 1 : 3),
    objects: numberOption(input, "objects") ?? (isQuick ? 1000 : 100_000),
    snapshots: numberOption(input, "snapshots") ?? (isQuick ? 20 : 1000),
    snapshotters: options.snapshotter ?? ["overlayfs", "native"],
    folder: resolve(options.folder?.at(-1) ?? tmpdir()),
    program: [process.execPath, ...process.execArgv, process.argv[1]!],
  };
  if (facts.rounds === 0) throw usageError("want at least one of --rounds");
  if (process.getuid?.() !== 0) {
    throw failedPrecondition("Cannot measure a store: want to be root", {
      reason: "root-wanted",
      hint: "It starts containerd and mounts snapshots",
    });
  }
  using stop = signalled();
  return await writeReport(input, await benchStore({ ...facts, isQuick, tell, signal: stop.signal }));
}
