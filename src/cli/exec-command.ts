import { randomBytes } from "node:crypto";
import type { Container } from "../client/index.js";
import { type ProcessSpec, withEnv, withTty, withUser, withWorkingFolder } from "../client/index.js";
import { LazuliError } from "../errors/index.js";
import { attend, ownStreams, startFailure } from "./attended.js";
import { clientOptions, isSet, oneOption, openClient } from "./client-options.js";
import type { Command, CommandInput } from "./command.js";
import { processOptions } from "./run-options.js";

export const execCommand: Command = {
  name: "exec",
  summary: "run one more process in a container that runs",
  usage: "[options] CONTAINER COMMAND [ARGUMENT...]",
  positionalsMin: 2,
  positionalsMax: 10_000,
  verbatimAfter: 1,
  description: [
    "Runs COMMAND in CONTAINER with what its first process has: environment, folder, user and capabilities. Ends with the process, and with its exit code. Options stand before CONTAINER.",
  ],
  options: {
    interactive: { type: "boolean", short: "i", meaning: "The process reads this command's input." },
    tty: { type: "boolean", short: "t", meaning: "The process has a terminal." },
    detach: { type: "boolean", short: "d", meaning: "Don't wait; the output goes nowhere." },
    env: processOptions.env,
    workdir: processOptions.workdir,
    user: processOptions.user,
    ...clientOptions,
  },
  examples: [["lazuli exec -it web sh", "A shell in the container web."]],
  run: async (input) => {
    const [id, ...args] = input.positionals;
    using client = await openClient(input);
    const container = await client.container(id!);
    const task = await container.task();
    const process = await processOf(input, container, args);
    const execId = `lazuli-${randomBytes(6).toString("hex")}`;
    const isDetached = isSet(input, "detach");
    const streams = isDetached
      ? undefined
      : ownStreams({ hasStdin: isSet(input, "interactive"), isTerminal: isSet(input, "tty") });
    const target = await task.exec({ id: execId, process, io: streams?.io ?? { kind: "none" } });
    try {
      if (streams === undefined) {
        await target.start();
        return { data: undefined, text: "" };
      }
      const code = await attend({ process: target, streams, start: async () => await target.start() });
      if (code === undefined) return { data: undefined, text: "" };
      await target.delete();
      return { data: undefined, text: "", exitCode: code };
    } catch (thrown) {
      await target.delete().catch(() => undefined); // The first failure is what counts.
      const exitCode = startFailure(thrown);
      if (exitCode === undefined) throw thrown;
      input.tell(`lazuli: ${LazuliError.from(thrown).message}`);
      return { data: undefined, text: "", exitCode };
    }
  },
};

async function processOf(
  input: CommandInput,
  container: Container,
  args: readonly string[],
): Promise<ProcessSpec> {
  const user = oneOption(input, "user");
  const workdir = oneOption(input, "workdir");
  const isNumber = user === undefined || /^[0-9]+:[0-9]+$/.test(user);
  const accounts = isNumber ? { passwd: undefined, group: undefined } : await container.accounts();
  const context = { id: container.id, namespace: "", architecture: "", accounts };
  const options = [
    withEnv(input.options.env ?? []),
    ...(user === undefined ? [] : [withUser(user)]),
    ...(workdir === undefined ? [] : [withWorkingFolder(workdir)]),
    ...(isSet(input, "tty") ? [withTty()] : []),
  ];
  const { process } = options.reduce((spec, option) => option(spec, context), container.spec);
  return { ...process, args };
}
