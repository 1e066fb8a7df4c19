import type { ProcessStatus } from "../client/index.js";
import { ago, clientOptions, isSet, openClient } from "./client-options.js";
import { type Command, jsonOption } from "./command.js";
import { table } from "./table.js";

const COMMAND_LENGTH = 40;

export const psCommand: Command = {
  name: "ps",
  summary: "list containers of a server",
  usage: "[FILTER...] [options]",
  positionalsMin: 0,
  positionalsMax: 100,
  description: [
    "Lists the containers of the namespace that run; with --all those as well that don't. FILTER is containerd's: `image~=python`, `labels.team==a`; several are alternatives.",
  ],
  options: {
    all: { type: "boolean", short: "a", meaning: "Those as well that don't run." },
    quiet: { type: "boolean", short: "q", meaning: "Print names only." },
    ...clientOptions,
    json: jsonOption,
  },
  examples: [["lazuli rm $(lazuli ps -aq)", "Take away all that have ended; those that run are refused."]],
  run: async (input) => {
    using client = await openClient(input);
    const tasks = await client.tasks();
    const rows = (await client.containers({ filters: input.positionals }))
      .map((container) => ({ container, task: tasks.get(container.id) }))
      .filter(({ task }) => isSet(input, "all") || (task !== undefined && task.state !== "stopped"))
      .sort((one, other) => (one.container.createdAt < other.container.createdAt ? 1 : -1));
    const data = rows.map(({ container, task }) => ({
      id: container.id,
      image: container.image,
      command: container.spec.process?.args ?? [],
      createdAt: container.createdAt,
      state: task?.state ?? "created",
      pid: task?.pid ?? 0,
      exitCode: task?.state === "stopped" ? task.exit.code : undefined,
      labels: container.labels,
    }));
    if (isSet(input, "quiet")) return { data, text: data.map(({ id }) => `${id}\n`).join("") };
    const cells = rows.map(({ container, task }) => [
      container.id,
      container.image,
      (container.spec.process?.args ?? []).join(" ").slice(0, COMMAND_LENGTH),
      ago(container.createdAt),
      statusText(task),
    ]);
    return { data, text: table(["NAME", "IMAGE", "COMMAND", "CREATED", "STATUS"], cells) };
  },
};

function statusText(task: ProcessStatus | undefined): string {
  if (task === undefined) return "not running";
  return task.state === "stopped" ? `exited (${task.exit.code})` : task.state;
}
