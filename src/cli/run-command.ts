import { randomBytes } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import {
  type Client,
  type Container,
  type Image,
  LazuliError,
  type SpecOption,
  type Task,
  type TaskIo,
} from "../client/index.js";
import { attend, ownStreams, startFailure } from "./attended.js";
import {
  clientOptions,
  isSet,
  lazyOption,
  logFolder,
  oneOption,
  openClient,
  platformOption,
  readLazy,
  readPlatform,
  snapshotterOption,
} from "./client-options.js";
import type { Command, CommandInput, CommandResult } from "./command.js";
import { usageError } from "./image-options.js";
import { PullProgress } from "./pull-progress.js";
import { processOptions, readSpecOptions } from "./run-options.js";
import { startShare } from "./start-share.js";

/** On a container that runs in the background: the file with its output. */
export const LOG_LABEL = "lazuli/log-file";

export const runCommand: Command = {
  name: "run",
  summary: "make a container of an image and run it",
  usage: "[options] IMAGE [COMMAND [ARGUMENT...]]",
  positionalsMin: 1,
  positionalsMax: 10_000,
  verbatimAfter: 1,
  description: [
    "Runs COMMAND, or what the image says, in a new container. The image is pulled first when it is not here; with a lazy snapshotter the container starts before its image has arrived, and stderr tells how little of it had. Options stand before IMAGE; all behind it is the command's.",
    "Without -d it stays until the process ends and has its exit code; signals go on to the process. With -d the output goes to a file that `lazuli logs` reads, and the name is printed. With -t, Ctrl-P Ctrl-Q leaves a container that goes on (`lazuli attach` comes back).",
    "A container has no network but loopback unless --network host is given.",
  ],
  options: {
    detach: { type: "boolean", short: "d", meaning: "Run in the background." },
    rm: {
      type: "boolean",
      meaning: "Take the container away when the process has ended. Not with -d, where nobody waits.",
    },
    interactive: { type: "boolean", short: "i", meaning: "The process reads this command's input." },
    tty: { type: "boolean", short: "t", meaning: "The process has a terminal." },
    name: { type: "string", value: "NAME", meaning: "Unique in the namespace; random letters by default." },
    label: {
      type: "string",
      short: "l",
      value: "KEY=VALUE",
      multiple: true,
      meaning: "Label of the container.",
    },
    pull: {
      type: "string",
      value: "missing|always|never",
      meaning: "When the image is pulled; missing by default.",
    },
    runtime: {
      type: "string",
      value: "NAME",
      meaning: "io.containerd.runc.v2 by default, or the absolute path of a shim.",
    },
    ...processOptions,
    lazy: lazyOption,
    snapshotter: snapshotterOption,
    platform: platformOption,
    quiet: { type: "boolean", short: "q", meaning: "Say nothing of the pull." },
    ...clientOptions,
  },
  examples: [
    ["lazuli run --rm -it python:3.12", "Python's prompt, in a container that is gone afterwards."],
    [
      "lazuli run -d --name web --network host -m 256m nginx",
      "A server in the background, on this machine's ports.",
    ],
    ["lazuli run --rm -v $PWD:/src:ro -w /src golang:1.23 go vet ./...", "A tool on the files here."],
  ],
  run: async (input) => {
    const isDetached = isSet(input, "detach");
    if (isDetached && isSet(input, "rm")) {
      throw usageError(
        "--rm takes the container away when its process ends, and with -d nobody waits for that",
      );
    }
    if (isDetached && (isSet(input, "interactive") || isSet(input, "tty"))) {
      throw usageError("want -d or -i and -t, got both");
    }
    const options = await readSpecOptions(input, input.positionals.slice(1));
    using client = await openClient(input);
    const { image, wasPulled } = await findOrPull(input, client);
    const container = await makeContainer({ input, client, image, options });
    const tellShare = async (): Promise<void> => {
      if (!wasPulled || isSet(input, "quiet")) return;
      const share = await startShare(input, { address: client.address, name: image.name });
      if (share !== undefined) input.tell(`lazuli: started at ${share}`);
    };
    if (isDetached) return await runDetached({ input, client, container, tellShare });
    return await runAttended({ input, container, tellShare });
  },
};

async function findOrPull(
  input: CommandInput,
  client: Client,
): Promise<{ readonly image: Image; readonly wasPulled: boolean }> {
  const name = input.positionals[0]!;
  const when = oneOption(input, "pull") ?? "missing";
  if (!["missing", "always", "never"].includes(when)) {
    throw usageError(`want --pull missing|always|never, got ${when}`);
  }
  if (when !== "always") {
    try {
      return { image: await client.image(name), wasPulled: false };
    } catch (thrown) {
      const isMissing = thrown instanceof LazuliError && thrown.reason === "image-unknown";
      if (!isMissing || when === "never") throw thrown;
    }
  }
  using progress = new PullProgress(input);
  const image = await client.pull(name, {
    lazy: readLazy(input),
    snapshotter: oneOption(input, "snapshotter"),
    platform: readPlatform(input),
    onEvent: progress.onEvent,
  });
  return { image, wasPulled: true };
}

async function makeContainer(parts: {
  readonly input: CommandInput;
  readonly client: Client;
  readonly image: Image;
  readonly options: readonly SpecOption[];
}): Promise<Container> {
  const { input, client, image, options } = parts;
  const id = oneOption(input, "name") ?? randomBytes(6).toString("hex");
  const [, ...args] = input.positionals;
  const labels = Object.fromEntries(
    (input.options.label ?? []).map((text) => {
      const at = text.indexOf("=");
      return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
    }),
  );
  const log = isSet(input, "detach") ? { [LOG_LABEL]: join(logFolder(input, client), `${id}.log`) } : {};
  return await client.createContainer({
    id,
    image,
    args,
    options,
    platform: readPlatform(input),
    snapshotter: oneOption(input, "snapshotter"),
    runtime: oneOption(input, "runtime"),
    labels: { ...labels, ...log },
  });
}

interface RunParts {
  readonly input: CommandInput;
  readonly container: Container;
  readonly tellShare: () => Promise<void>;
}

async function runDetached({
  input,
  client,
  container,
  tellShare,
}: RunParts & { readonly client: Client }): Promise<CommandResult> {
  await mkdir(logFolder(input, client), { recursive: true, mode: 0o700 });
  const path = container.labels[LOG_LABEL]!;
  return await started({ input, container, io: { kind: "file", path } }, async (task) => {
    await task.start();
    await tellShare();
    return { data: { id: container.id }, text: `${container.id}\n` };
  });
}

async function runAttended({ input, container, tellShare }: RunParts): Promise<CommandResult> {
  const streams = ownStreams({ hasStdin: isSet(input, "interactive"), isTerminal: isSet(input, "tty") });
  return await started({ input, container, io: streams.io }, async (task) => {
    const start = async (): Promise<void> => {
      await task.start();
      await tellShare();
    };
    const code = await attend({ process: task, streams, start });
    if (code === undefined) {
      input.tell(`lazuli: left ${container.id}, which goes on`);
      return { data: undefined, text: "" };
    }
    if (isSet(input, "rm")) {
      await task.delete();
      await container.delete();
    }
    return { data: undefined, text: "", exitCode: code };
  });
}

/** A container that could not be started is taken away again, with the exit code that shells have for it. */
async function started(
  parts: { readonly input: CommandInput; readonly container: Container; readonly io: TaskIo },
  work: (task: Task) => Promise<CommandResult>,
): Promise<CommandResult> {
  const { input, container, io } = parts;
  let task: Task | undefined;
  try {
    task = await container.newTask({ io });
    return await work(task);
  } catch (thrown) {
    const state = await task?.status().catch(() => undefined); // The first failure is what counts.
    if (state === undefined || state.state === "created" || state.state === "stopped") {
      await task?.delete().catch(() => undefined);
      await container.delete().catch(() => undefined);
    }
    const exitCode = startFailure(thrown);
    if (exitCode === undefined) throw thrown;
    input.tell(`lazuli: ${LazuliError.from(thrown).message}`);
    return { data: undefined, text: "", exitCode };
  }
}
