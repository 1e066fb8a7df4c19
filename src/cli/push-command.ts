import {
  clientOptions,
  isSet,
  oneOption,
  openClient,
  platformOption,
  readPlatform,
} from "./client-options.js";
import { type Command, jsonOption } from "./command.js";
import { PullProgress } from "./pull-progress.js";
import { signalled } from "./signalled.js";

export const pushCommand: Command = {
  name: "push",
  summary: "send an image of a server to a registry",
  usage: "IMAGE [TARGET] [options]",
  positionalsMin: 1,
  positionalsMax: 2,
  description: [
    "Pushes IMAGE to the registry that its name says, or to TARGET. Blobs that the registry has are not sent; blobs that a lazy pull has left away are fetched on the way.",
  ],
  options: {
    platform: platformOption,
    "all-platforms": { type: "boolean", meaning: "Push every platform of an index; all must be here." },
    hosts: {
      type: "string",
      value: "FOLDER",
      meaning: "Folder of hosts.toml files in place of /etc/containerd/certs.d.",
    },
    quiet: { type: "boolean", short: "q", meaning: "Print the digest only." },
    ...clientOptions,
    json: jsonOption,
  },
  examples: [["lazuli push python:3.12 registry.example/mirror/python:3.12", "Under another name."]],
  run: async (input) => {
    using client = await openClient(input);
    using stop = signalled();
    using progress = new PullProgress(input);
    const [name, to] = input.positionals;
    const { digest } = await client.push(name!, {
      to,
      platform: isSet(input, "all-platforms") ? "all" : readPlatform(input),
      hostsFolder: oneOption(input, "hosts"),
      onEvent: progress.onEvent,
      signal: stop.signal,
    });
    return { data: { digest }, text: isSet(input, "quiet") ? `${digest}\n` : `${to ?? name}: ${digest}\n` };
  },
};
