import {
  clientOptions,
  isSet,
  lazyOption,
  oneOption,
  openClient,
  platformOption,
  readLazy,
  readPlatform,
  snapshotterOption,
} from "./client-options.js";
import { type Command, jsonOption } from "./command.js";
import { PullProgress } from "./pull-progress.js";
import { signalled } from "./signalled.js";

export const pullCommand: Command = {
  name: "pull",
  summary: "bring an image to a server, lazily where it can be",
  usage: "IMAGE [options]",
  positionalsMin: 1,
  positionalsMax: 1,
  description: [
    "Pulls IMAGE into the namespace and makes it ready to run. With a snapshotter that serves layers lazily, such as lazuli's, only manifests and indexes are fetched: the rest comes when a container reads it, and in the background.",
    "The server pulls by itself where it has containerd's Transfer service, and lazuli fetches and hands over otherwise. Credentials come from Docker's config.json and its helpers, registries' settings from hosts.toml files.",
  ],
  options: {
    lazy: lazyOption,
    snapshotter: snapshotterOption,
    platform: platformOption,
    "all-platforms": {
      type: "boolean",
      meaning: "Fetch every platform of an index, to push or save it later.",
    },
    hosts: {
      type: "string",
      value: "FOLDER",
      meaning: "Folder of hosts.toml files in place of /etc/containerd/certs.d.",
    },
    quiet: { type: "boolean", short: "q", meaning: "Print the digest only." },
    ...clientOptions,
    json: jsonOption,
  },
  examples: [
    ["lazuli pull python:3.12", "From Docker Hub, lazily where the server can."],
    ["lazuli pull --lazy=never --snapshotter overlayfs registry.example/app:1", "All of it, now."],
  ],
  run: async (input) => {
    using client = await openClient(input);
    using stop = signalled();
    using progress = new PullProgress(input);
    const image = await client.pull(input.positionals[0]!, {
      lazy: readLazy(input),
      snapshotter: oneOption(input, "snapshotter"),
      platform: isSet(input, "all-platforms") ? "all" : readPlatform(input),
      hostsFolder: oneOption(input, "hosts"),
      onEvent: progress.onEvent,
      signal: stop.signal,
    });
    const { name, target } = image;
    return {
      data: { name, digest: target.digest, mediaType: target.mediaType },
      text: isSet(input, "quiet") ? `${target.digest}\n` : `${name}: ${target.digest}\n`,
    };
  },
};
