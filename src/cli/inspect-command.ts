import { LazuliError } from "../client/index.js";
import { clientOptions, openClient, platformOption, readPlatform } from "./client-options.js";
import { type Command, jsonOption } from "./command.js";
import { taskOf } from "./stop-container.js";

export const inspectCommand: Command = {
  name: "inspect",
  summary: "print all that a server knows of a container or an image",
  usage: "CONTAINER|IMAGE [options]",
  positionalsMin: 1,
  positionalsMax: 1,
  description: [
    "Prints JSON: of a container its record, its OCI runtime specification and the state of its task; of an image its target, manifest and configuration for a platform. A container's name goes first where both have it.",
  ],
  options: { platform: platformOption, ...clientOptions, json: jsonOption },
  examples: [["lazuli inspect web | jq .spec.process.args", "What does it run?"]],
  run: async (input) => {
    using client = await openClient(input);
    const name = input.positionals[0]!;
    const found = await client.container(name).catch((thrown: unknown) => {
      if (thrown instanceof LazuliError && thrown.reason === "container-unknown") return undefined;
      throw thrown;
    });
    const data: object =
      found === undefined
        ? await imageFacts(await client.image(name), readPlatform(input))
        : await containerFacts(found);
    return { data, text: `${JSON.stringify(data, plain, 2)}\n` };
  },
};

async function containerFacts(
  container: Awaited<ReturnType<Awaited<ReturnType<typeof openClient>>["container"]>>,
) {
  const { id, image, labels, runtime, snapshotter, snapshotKey, createdAt, spec } = container;
  const task = await (await taskOf(container))?.status();
  return { id, image, labels, runtime, snapshotter, snapshotKey, createdAt, task, spec };
}

async function imageFacts(
  image: Awaited<ReturnType<Awaited<ReturnType<typeof openClient>>["image"]>>,
  platform: ReturnType<typeof readPlatform>,
) {
  const { name, target, labels, createdAt, updatedAt } = image;
  const { digest, manifest, config } = await image.read({ platform });
  return { name, target, labels, createdAt, updatedAt, manifestDigest: digest, manifest, config };
}

function plain(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? value.toString() : value;
}
