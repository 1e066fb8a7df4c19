import { loadConfig, runServer, startDaemon } from "../daemon/index.js";
import type { Command } from "./command.js";
import { configOptions } from "./config-command.js";
import { takeoverOption } from "./takeover-option.js";

export const daemonCommand: Command = {
  name: "daemon",
  summary: "run the daemon that stands in containerd's place",
  usage: "[--config PATH] [options]",
  positionalsMin: 0,
  positionalsMax: 0,
  description: [
    "Serves containerd's API and Kubernetes' CRI on a Unix socket until SIGTERM or SIGINT: content, images, snapshots, containers, tasks, transfers and the rest, with a garbage collector that never blocks writers. Containers run in containerd's shims: they outlive the daemon, which finds them again. Stopping deletes nothing.",
    "It uses the same folders and the same config as `lazuli snapshotter`, and on one root only one of them runs. The log goes to stderr. Under systemd (Type=notify) it says when it is ready.",
  ],
  options: { ...configOptions, takeover: takeoverOption },
  examples: [
    [
      "lazuli daemon",
      "On the default folders; `ctr --address /run/lazuli/lazuli-containerd.sock` talks to it.",
    ],
    [
      "lazuli daemon --root /tmp/l/root --state /tmp/l/state --daemon-address /tmp/l/c.sock --log-format text",
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
      address: config.daemon.address,
      start: startDaemon,
      environment: input.environment,
      isTakeover: input.options.takeover !== undefined,
      write: (line) => input.tell(line.trimEnd()),
    });
    return { data: {}, text: "" };
  },
};
