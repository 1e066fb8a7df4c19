import { clientOptions, oneOption, openClient } from "./client-options.js";
import { type Command, jsonOption } from "./command.js";
import { numberOption } from "./image-options.js";
import { stopTask, taskOf } from "./stop-container.js";

const TIMEOUT_SECONDS = 10;

export const stopCommand: Command = {
  name: "stop",
  summary: "end containers, politely first",
  usage: "CONTAINER... [options]",
  positionalsMin: 1,
  positionalsMax: 1000,
  description: [
    "Sends each container the signal that its image wants (SIGTERM where it says none), and SIGKILL to those that go on after --time seconds. The containers stay; `lazuli rm` takes them away.",
  ],
  options: {
    time: { type: "string", value: "SECONDS", meaning: "How long to wait before SIGKILL; 10 by default." },
    signal: { type: "string", short: "s", value: "NAME", meaning: "In place of the image's." },
    ...clientOptions,
    json: jsonOption,
  },
  examples: [["lazuli stop --time 60 database", "A minute to write everything down."]],
  run: async (input) => {
    using client = await openClient(input);
    const timeoutMs = (numberOption(input, "time") ?? TIMEOUT_SECONDS) * 1000;
    const stopped = await Promise.all(
      input.positionals.map(async (id) => {
        const container = await client.container(id);
        const task = await taskOf(container);
        const signal = oneOption(input, "signal") ?? container.stopSignal;
        if (task !== undefined) await stopTask(task, { signal, timeoutMs });
        return container.id;
      }),
    );
    return { data: { stopped }, text: stopped.map((id) => `${id}\n`).join("") };
  },
};
