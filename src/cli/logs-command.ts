import { open } from "node:fs/promises";
import { delay } from "../async/index.js";
import type { Container } from "../client/index.js";
import { notFound } from "../errors/index.js";
import { clientOptions, isSet, openClient } from "./client-options.js";
import type { Command } from "./command.js";
import { LOG_LABEL } from "./run-command.js";
import { signalled } from "./signalled.js";

const PIECE_BYTES = 64 * 1024;
const FOLLOW_MS = 200;

export const logsCommand: Command = {
  name: "logs",
  summary: "print what a container in the background has written",
  usage: "CONTAINER [options]",
  positionalsMin: 1,
  positionalsMax: 1,
  description: [
    "Prints both outputs of a container that was started with `lazuli run -d`, in the order in which they came. The file is on the machine of the server.",
  ],
  options: {
    follow: { type: "boolean", short: "f", meaning: "Go on until the process has ended." },
    ...clientOptions,
  },
  examples: [["lazuli logs -f web", "As it happens."]],
  run: async (input) => {
    using client = await openClient(input);
    using stop = signalled();
    const container = await client.container(input.positionals[0]!);
    const path = container.labels[LOG_LABEL];
    if (path === undefined) {
      throw notFound(`Cannot print the log of ${container.id}: it writes none`, {
        subject: container.id,
        reason: "log-missing",
        hint: "Start it with `lazuli run -d`; `lazuli attach` shows one that was left",
      });
    }
    await using file = await open(path, "r");
    const isFollowed = isSet(input, "follow");
    const bytes = Buffer.alloc(PIECE_BYTES);
    let hasEnded = !isFollowed;
    while (!stop.signal.aborted) {
      const { bytesRead } = await file.read(bytes, 0, PIECE_BYTES, null);
      if (bytesRead > 0) await print(bytes.subarray(0, bytesRead));
      else if (hasEnded) break;
      else {
        // What it wrote last may have come after our last look: one more round.
        hasEnded = !(await isRunning(container));
        if (!hasEnded) await delay(FOLLOW_MS, { signal: stop.signal }).catch(() => undefined); // Interrupted: the loop ends.
      }
    }
    return { data: undefined, text: "" };
  },
};

async function print(bytes: Buffer): Promise<void> {
  await new Promise<void>((resolve) => process.stdout.write(Buffer.from(bytes), () => resolve()));
}

async function isRunning(container: Container): Promise<boolean> {
  // One without a task does not run.
  const status = await container.task().then(
    async (task) => await task.status(),
    () => undefined,
  );
  return status !== undefined && status.state !== "stopped";
}
