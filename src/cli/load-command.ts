import { resolve } from "node:path";
import {
  clientOptions,
  oneOption,
  openClient,
  platformOption,
  readPlatform,
  snapshotterOption,
} from "./client-options.js";
import { type Command, jsonOption } from "./command.js";
import { signalled } from "./signalled.js";

export const loadCommand: Command = {
  name: "load",
  summary: "bring an image from a file to a server",
  usage: "FILE [options]",
  positionalsMin: 1,
  positionalsMax: 1,
  description: [
    "Reads the image of an OCI archive, as `lazuli save`, skopeo, buildah and newer Dockers write it, into the namespace, and makes it ready to run.",
  ],
  options: {
    name: { type: "string", value: "NAME", meaning: "In place of the name in the archive." },
    platform: platformOption,
    snapshotter: snapshotterOption,
    ...clientOptions,
    json: jsonOption,
  },
  examples: [["lazuli load python.tar --name local/python:3.12", "Under another name."]],
  run: async (input) => {
    using client = await openClient(input);
    using stop = signalled();
    const { name, target } = await client.import(resolve(input.positionals[0]!), {
      name: oneOption(input, "name"),
      platform: readPlatform(input),
      snapshotter: oneOption(input, "snapshotter"),
      signal: stop.signal,
    });
    return { data: { name, digest: target.digest }, text: `${name}: ${target.digest}\n` };
  },
};
