import { attend, ownStreams } from "./attended.js";
import { clientOptions, openClient } from "./client-options.js";
import type { Command } from "./command.js";

export const attachCommand: Command = {
  name: "attach",
  summary: "come back to a container that was left",
  usage: "CONTAINER [options]",
  positionalsMin: 1,
  positionalsMax: 1,
  description: [
    "Takes part again in what a container reads and writes that was started without -d and left with Ctrl-P Ctrl-Q. Ends with the process, and with its exit code. The output of a container that was started with -d is in a file: see `lazuli logs`.",
  ],
  options: { ...clientOptions },
  examples: [["lazuli attach work", "Go on where you left."]],
  run: async (input) => {
    using client = await openClient(input);
    const container = await client.container(input.positionals[0]!);
    const isTerminal = container.spec.process?.terminal === true;
    const streams = ownStreams({ hasStdin: true, isTerminal });
    const task = await container.task({ io: streams.io });
    const code = await attend({ process: task, streams });
    return { data: undefined, text: "", ...(code === undefined ? {} : { exitCode: code }) };
  },
};
