import { loadConfig, runServer, startSnapshotter } from "../daemon/index.js";
import type { Command } from "./command.js";
import { configOptions } from "./config-command.js";
import { takeoverOption } from "./takeover-option.js";

export const snapshotterCommand: Command = {
  name: "snapshotter",
  summary: "run the snapshotter that containerd plugs in",
  usage: "[--config PATH] [options]",
  positionalsMin: 0,
  positionalsMax: 0,
  description: [
    "Serves containerd's snapshots API on a Unix socket until SIGTERM or SIGINT. Layers and snapshots of earlier runs are there again from the start, without asking a registry. Stopping deletes nothing; a second signal ends it at once.",
    "The log goes to stderr. Under systemd (Type=notify) it says when it is ready. Every key of the config has a flag, which stands above the file.",
  ],
  options: { ...configOptions, takeover: takeoverOption },
  examples: [
    ["lazuli snapshotter", "As the systemd unit runs it."],
    [
      "lazuli snapshotter --root /tmp/l/root --state /tmp/l/state --address /tmp/l/lazuli.sock --log-format text",
      "On folders of its own, at a terminal.",
    ],
  ],
  run: async (input) => {
    const { config, file } = await loadConfig({
      file: input.options.config?.at(-1),
      environment: input.environment,
      flags: input.options,
    });
    await runServer({
      config,
      file,
      address: config.snapshotter.address,
      start: startSnapshotter,
      environment: input.environment,
      isTakeover: input.options.takeover !== undefined,
      write: (line) => input.tell(line.trimEnd()),
    });
    return { data: {}, text: "" };
  },
};
