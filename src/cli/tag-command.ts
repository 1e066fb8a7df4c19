import { clientOptions, openClient } from "./client-options.js";
import { type Command, jsonOption } from "./command.js";

export const tagCommand: Command = {
  name: "tag",
  summary: "give an image one more name",
  usage: "IMAGE NAME [options]",
  positionalsMin: 2,
  positionalsMax: 2,
  description: ["Makes NAME stand for what IMAGE stands for now. An image that had the name loses it."],
  options: { ...clientOptions, json: jsonOption },
  examples: [["lazuli tag python:3.12 registry.example/python:stable", "Before a push."]],
  run: async (input) => {
    using client = await openClient(input);
    const [from, to] = input.positionals;
    const { name, target } = await (await client.image(from!)).tag(to!);
    return { data: { name, digest: target.digest }, text: `${name}\n` };
  },
};
