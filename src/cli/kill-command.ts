import { signalNumber } from "../client/index.js";
import { clientOptions, isSet, oneOption, openClient } from "./client-options.js";
import { type Command, jsonOption } from "./command.js";

export const killCommand: Command = {
  name: "kill",
  summary: "send containers a signal",
  usage: "CONTAINER... [options]",
  positionalsMin: 1,
  positionalsMax: 1000,
  description: ["Sends the first process of each container a signal, SIGKILL by default."],
  options: {
    signal: { type: "string", short: "s", value: "NAME", meaning: "A name or a number: HUP, 9." },
    all: { type: "boolean", meaning: "To every process of the container." },
    ...clientOptions,
    json: jsonOption,
  },
  examples: [["lazuli kill -s HUP web", "Read the configuration again."]],
  run: async (input) => {
    const signal = signalNumber(oneOption(input, "signal") ?? "KILL");
    using client = await openClient(input);
    for (const id of input.positionals) {
      const task = await (await client.container(id)).task();
      await task.kill(signal, { all: isSet(input, "all") });
    }
    return { data: { signal }, text: input.positionals.map((id) => `${id}\n`).join("") };
  },
};
