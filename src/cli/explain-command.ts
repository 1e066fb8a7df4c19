import { toJson } from "@bufbuild/protobuf";
import { type ExplainResponse, ExplainResponseSchema } from "../../gen/lazuli/v1/node_pb.js";
import { type Command, jsonOption } from "./command.js";
import { askNode, nodeOptions } from "./node-client.js";
import { percentHere, shortDigest } from "./status-command.js";
import { table } from "./table.js";

export const explainCommand: Command = {
  name: "explain",
  summary: "say for each layer of an image whether it is lazy, or why not",
  usage: "IMAGE|DIGEST|SNAPSHOT [--address PATH] [--json]",
  positionalsMin: 1,
  positionalsMax: 1,
  description: [
    "Asks the running daemon about an image (its reference), a layer (the digest of its blob), or a snapshot (its name or chain id). For each layer, from the bottom up, it says whether it is lazy and how much of it is here; for a layer that was left to containerd it says the reason and what can be done about it.",
  ],
  options: { ...nodeOptions, json: jsonOption },
  examples: [
    ["lazuli explain registry.example/library/python:3.12", "Why did this pull take so long?"],
    ["lazuli explain sha256:4bf5... --json", "One layer, for a script."],
  ],
  run: async (input) => {
    const query = input.positionals[0]!;
    const answer = await askNode(input, (node, options) => node.explain({ query }, options));
    return {
      data: toJson(ExplainResponseSchema, answer, { alwaysEmitImplicit: true }),
      text: explainText(answer),
    };
  },
};

function explainText(answer: ExplainResponse): string {
  const rows = answer.layers.map((layer) => [
    shortDigest(layer.layerDigest || layer.snapshot),
    layer.lazy ? "yes" : "no",
    layer.format,
    layer.lazy ? percentHere(layer) : "",
    layer.mountKind,
    layer.lazy ? layer.lastError : layer.reason,
  ]);
  const hints = new Set(
    answer.layers.filter((layer) => layer.hint !== "").map((layer) => `${layer.reason}: ${layer.hint}\n`),
  );
  const lazy = answer.layers.filter((layer) => layer.lazy).length;
  return [
    `${answer.query.replace(/\p{Cc}/gu, " ")}: ${lazy} of ${answer.layers.length} layers are lazy\n\n`,
    table(["LAYER", "LAZY", "FORMAT", "HERE", "MOUNT", "REASON"], rows),
    ...(hints.size === 0 ? [] : ["\n", ...hints]),
  ].join("");
}
