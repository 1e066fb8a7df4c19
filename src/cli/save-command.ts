import { resolve } from "node:path";
import {
  clientOptions,
  isSet,
  oneOption,
  openClient,
  platformOption,
  readPlatform,
} from "./client-options.js";
import { type Command, jsonOption } from "./command.js";
import { usageError } from "./image-options.js";
import { signalled } from "./signalled.js";

export const saveCommand: Command = {
  name: "save",
  summary: "write an image of a server into a file",
  usage: "IMAGE --output FILE [options]",
  positionalsMin: 1,
  positionalsMax: 1,
  description: [
    "Writes IMAGE as an OCI archive, which `lazuli load`, `ctr images import`, skopeo, buildah and newer Dockers read. FILE is there when it is whole.",
  ],
  options: {
    output: { type: "string", short: "o", value: "FILE", meaning: "Where to." },
    platform: platformOption,
    "all-platforms": { type: "boolean", meaning: "Every platform of an index; all must be here." },
    ...clientOptions,
    json: jsonOption,
  },
  examples: [["lazuli save -o python.tar python:3.12", "This machine's platform."]],
  run: async (input) => {
    const output = oneOption(input, "output");
    if (output === undefined) throw usageError("want --output FILE");
    const path = resolve(output);
    using client = await openClient(input);
    using stop = signalled();
    const platform = isSet(input, "all-platforms") ? "all" : readPlatform(input);
    const { digest } = await client.export(input.positionals[0]!, path, { platform, signal: stop.signal });
    return { data: { path, digest }, text: `${path}: ${digest}\n` };
  },
};
