import { clientOptions, isSet, openClient } from "./client-options.js";
import { type Command, jsonOption } from "./command.js";

export const rmiCommand: Command = {
  name: "rmi",
  summary: "take images from a server",
  usage: "IMAGE... [options]",
  positionalsMin: 1,
  positionalsMax: 1000,
  description: [
    "Takes the names of images away; the server collects what nothing else needs. Containers that were made of an image go on.",
  ],
  options: {
    sync: { type: "boolean", meaning: "Wait until the room is free." },
    ...clientOptions,
    json: jsonOption,
  },
  examples: [["lazuli rmi --sync python:3.12", "And wait for the collector."]],
  run: async (input) => {
    using client = await openClient(input);
    const removed: string[] = [];
    for (const name of input.positionals) {
      const image = await client.image(name);
      await image.remove({ sync: isSet(input, "sync") });
      removed.push(image.name);
    }
    return { data: { removed }, text: removed.map((name) => `${name}\n`).join("") };
  },
};
