import { rm } from "node:fs/promises";
import type { Container } from "../client/index.js";
import { failedPrecondition } from "../errors/index.js";
import { clientOptions, isSet, openClient } from "./client-options.js";
import { type Command, jsonOption } from "./command.js";
import { LOG_LABEL } from "./run-command.js";
import { stopTask, taskOf } from "./stop-container.js";

export const rmCommand: Command = {
  name: "rm",
  summary: "take containers away, with what they have written",
  usage: "CONTAINER... [options]",
  positionalsMin: 1,
  positionalsMax: 1000,
  description: [
    "Takes containers away that have ended: their file systems above the image, and their logs. One that runs is refused unless --force is given.",
  ],
  options: {
    force: { type: "boolean", short: "f", meaning: "Kill those that run." },
    ...clientOptions,
    json: jsonOption,
  },
  examples: [["lazuli rm -f web", "Kill it first."]],
  run: async (input) => {
    using client = await openClient(input);
    const removed: string[] = [];
    for (const id of input.positionals) {
      const container = await client.container(id);
      await removeContainer(container, { isForced: isSet(input, "force") });
      removed.push(container.id);
    }
    return { data: { removed }, text: removed.map((id) => `${id}\n`).join("") };
  },
};

async function removeContainer(
  container: Container,
  { isForced }: { readonly isForced: boolean },
): Promise<void> {
  const task = await taskOf(container);
  if (task !== undefined) {
    const { state } = await task.status();
    if (state !== "stopped" && state !== "created" && !isForced) {
      throw failedPrecondition(`Cannot remove ${container.id}: it is ${state}`, {
        subject: container.id,
        reason: "container-running",
        hint: "Stop it with `lazuli stop`, or give --force",
      });
    }
    await stopTask(task, { signal: "KILL", timeoutMs: 0 });
    await task.delete();
  }
  await container.delete();
  const log = container.labels[LOG_LABEL];
  // Labels are the container's maker's: nothing but a log of the name that we would give is removed.
  if (log?.startsWith("/") && log.endsWith(`/${container.id}.log`)) await rm(log, { force: true });
}
