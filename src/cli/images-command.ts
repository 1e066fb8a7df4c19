import { LazuliError } from "../client/index.js";
import { ago, clientOptions, openClient } from "./client-options.js";
import { type Command, jsonOption } from "./command.js";
import { humanBytes, table } from "./table.js";

export const imagesCommand: Command = {
  name: "images",
  summary: "list the images of a server",
  usage: "[FILTER...] [options]",
  positionalsMin: 0,
  positionalsMax: 100,
  description: [
    "Lists the images of the namespace with their sizes in the registry's form for this machine's platform. FILTER is containerd's: `name~=python`, `labels.team==a`; several are alternatives.",
  ],
  options: { ...clientOptions, json: jsonOption },
  examples: [["lazuli images 'name~=python'", "Those with python in their names."]],
  run: async (input) => {
    using client = await openClient(input);
    const rows = [];
    for (const image of await client.images({ filters: input.positionals })) {
      // An image of another platform, or one whose content has gone, has a name all the same.
      const sizeBytes = await image.sizeBytes().catch(sizeUnknown);
      const { name, target, createdAt, labels } = image;
      rows.push({ name, digest: target.digest, createdAt, sizeBytes, labels });
    }
    return {
      data: rows,
      text: table(
        ["IMAGE", "DIGEST", "CREATED", "SIZE"],
        rows.map(({ name, digest, createdAt, sizeBytes }) => [
          name,
          digest.slice(0, 19),
          ago(createdAt),
          sizeBytes === undefined ? "" : humanBytes(sizeBytes),
        ]),
      ),
    };
  },
};

function sizeUnknown(thrown: unknown): undefined {
  if (thrown instanceof LazuliError && thrown.code !== "UNAVAILABLE") return undefined;
  throw thrown;
}
