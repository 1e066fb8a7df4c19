import { toJson } from "@bufbuild/protobuf";
import {
  type CollectResponse,
  CollectResponseSchema,
  type GraphNode,
  type WhyResponse,
  WhyResponseSchema,
} from "../../gen/lazuli/v1/node_pb.js";
import { invalidArgument } from "../errors/index.js";
import { type Command, type CommandInput, type CommandResult, jsonOption } from "./command.js";
import { configOptions } from "./config-command.js";
import { askNode } from "./node-client.js";
import { humanBytes, table } from "./table.js";

/** Longest wait for a collection: one of a million objects takes seconds, and one that runs already ends first. */
const COLLECTION_TIMEOUT_MS = 600_000;

const askOptions = {
  addressOf: (config: { readonly daemon: { readonly address: string } }) => config.daemon.address,
  timeoutMs: COLLECTION_TIMEOUT_MS,
};

export const gcCommand: Command = {
  name: "gc",
  summary: "collect garbage now, or say what would go and why something stays",
  usage: "[--dry-run | --why DIGEST|NAME] [--config PATH] [--daemon-address PATH] [--json]",
  positionalsMin: 0,
  positionalsMax: 0,
  description: [
    "Asks the running `lazuli daemon` to remove everything that nothing keeps, and waits until it is gone from the disk. The daemon does so by itself when something was deleted; the keys below `[gc]` of the config say when. Clients go on working meanwhile, and what they take a reference to is kept.",
    "Kept are images, containers, what a lease lists, uploads of the last day, what has the label `containerd.io/gc.root`, and all that these lead to: the target of an image, the blobs that `containerd.io/gc.ref.content...` labels name, the snapshot of a container, the parents of a snapshot, the layer that a lazy snapshot is.",
    "`--dry-run` lists what would be removed, and removes nothing.",
    "`--why` prints, for everything of that name in every namespace, the way that leads to it: first a root with the reason why it is one, then step by step the label or field that keeps the next. Without a way nothing keeps it, and the next collection removes it.",
  ],
  options: {
    "dry-run": { type: "boolean", meaning: "List what a collection would remove." },
    why: {
      type: "string",
      value: "DIGEST|NAME",
      meaning:
        "A blob's digest, an image's name, a snapshot's key with or without its snapshotter and a slash, an upload's ref, or the id of a container or lease.",
    },
    config: configOptions.config!,
    "daemon-address": configOptions["daemon-address"]!,
    json: jsonOption,
  },
  examples: [
    ["lazuli gc", "Free the space of deleted images now."],
    ["lazuli gc --dry-run", "What would go?"],
    ["lazuli gc --why sha256:4bf5...", "Why is this blob still here?"],
  ],
  run: async (input) => {
    const subject = input.options.why?.at(-1);
    const isDryRun = input.options["dry-run"] !== undefined;
    if (subject === undefined) return await runCollection(input, isDryRun);
    if (!isDryRun) return await runWhy(input, subject);
    throw invalidArgument("Cannot run lazuli gc: want --dry-run or --why, got both", {
      reason: "usage",
      hint: "`lazuli gc --why` removes nothing either",
    });
  },
};

async function runCollection(input: CommandInput, isDryRun: boolean): Promise<CommandResult> {
  const answer = await askNode(
    input,
    (node, options) => node.collect({ dryRun: isDryRun }, options),
    askOptions,
  );
  return {
    data: toJson(CollectResponseSchema, answer, { alwaysEmitImplicit: true }),
    text: isDryRun ? planText(answer) : collectionText(answer),
  };
}

async function runWhy(input: CommandInput, subject: string): Promise<CommandResult> {
  const answer = await askNode(input, (node, options) => node.why({ subject }, options), askOptions);
  return { data: toJson(WhyResponseSchema, answer, { alwaysEmitImplicit: true }), text: whyText(answer) };
}

function counted(removed: Readonly<Record<string, number>>): string {
  const counts = Object.entries(removed)
    .sort(([left], [right]) => (left < right ? -1 : 1))
    .map(([type, count]) => `${count} ${type}`);
  return counts.length === 0 ? "nothing" : counts.join(", ");
}

function collectionText({ removed, bytesFreed, nodesSeen, durationMs }: CollectResponse): string {
  const seconds = (durationMs / 1000).toFixed(durationMs < 10_000 ? 3 : 1);
  return [
    `removed: ${counted(removed)}\n`,
    `freed:   ${humanBytes(bytesFreed)}\n`,
    `looked at ${nodesSeen} objects in ${seconds} s\n`,
  ].join("");
}

function planText({ removed, unreachable, leftOut }: CollectResponse): string {
  const rows = unreachable.map(({ type, namespace, key }) => [type, namespace, key]);
  return [
    `would remove: ${counted(removed)}\n`,
    rows.length === 0 ? "" : `\n${table(["TYPE", "NAMESPACE", "NAME"], rows)}`,
    leftOut === 0 ? "" : `and ${leftOut} more\n`,
  ].join("");
}

function whyText({ found }: WhyResponse): string {
  return found.map(({ node, path }) => keptText(node, path)).join("\n");
}

function keptText(node: GraphNode | undefined, path: WhyResponse["found"][number]["path"]): string {
  if (path.length === 0) return `${nodeText(node)}\n  nothing keeps it: the next collection removes it\n`;
  const steps = path.map((step, index) => {
    const indent = "  ".repeat(index + 1);
    return `${indent}${index === 0 ? "root" : "keeps"} (${clean(step.by)}) ${nodeText(step.node)}\n`;
  });
  return [`${nodeText(node)}\n`, ...steps].join("");
}

function nodeText(node: GraphNode | undefined): string {
  if (node === undefined) return "";
  const place = node.namespace === "" ? "" : ` in ${clean(node.namespace)}`;
  return `${node.type} ${clean(node.key)}${place}`;
}

function clean(text: string): string {
  return text.replace(/\p{Cc}/gu, " ");
}
