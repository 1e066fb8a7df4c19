import { toJson } from "@bufbuild/protobuf";
import {
  type Budget,
  type Layer,
  type Replay,
  type StatusResponse,
  StatusResponseSchema,
} from "../../gen/lazuli/v1/node_pb.js";
import { type Command, jsonOption } from "./command.js";
import { askNode, nodeOptions } from "./node-client.js";
import { humanBytes, table } from "./table.js";

export const statusCommand: Command = {
  name: "status",
  summary: "show the layers and snapshots of this node, and how much of each is here",
  usage: "[--address PATH] [--json]",
  positionalsMin: 0,
  positionalsMax: 0,
  description: [
    "Asks the running daemon for its lazy layers: how each is mounted, how much of it is on this disk, how many bytes came from registries since the start, and the last error of a fetch. Then come the budgets: what is used of the disk, of memory for requests, of descriptors and of each host, and what may be. Below them stand the snapshots, which of them are lazy layers, and for the others that containerd asked for the reason why they are not.",
  ],
  options: { ...nodeOptions, json: jsonOption },
  examples: [
    ["lazuli status", "Everything on this node."],
    ["lazuli status --json | jq '.layers[] | select(.complete | not)'", "Layers that still miss bytes."],
  ],
  run: async (input) => {
    const status = await askNode(input, (node, options) => node.status({}, options));
    return {
      data: toJson(StatusResponseSchema, status, { alwaysEmitImplicit: true }),
      text: statusText(status),
    };
  },
};

function statusText(status: StatusResponse): string {
  const chosen = status.ladder.find((step) => step.chosen);
  const lines = [`lazuli ${status.version}, layers are mounted by ${chosen?.name ?? "nothing"}\n\n`];
  if (status.layers.length === 0) lines.push("No lazy layers.\n");
  else {
    lines.push(
      table(
        ["LAYER", "FORMAT", "MOUNT", "HERE", "SIZE", "FETCHED", "IMAGE", "ERROR"],
        status.layers.map((layer) => [
          shortDigest(layer.digest),
          layer.format,
          layer.mountKind,
          percentHere(layer),
          humanBytes(layer.dataBytes),
          humanBytes(layer.fetchedBytes),
          layer.reference,
          layer.lastError,
        ]),
      ),
    );
  }
  if (status.budgets.length > 0) lines.push("\n", budgetTable(status.budgets));
  if (status.replays.length > 0) lines.push("\n", replayTable(status.replays));
  lines.push("\n");
  if (status.snapshots.length === 0) lines.push("No snapshots.\n");
  else {
    lines.push(
      table(
        ["SNAPSHOT", "KIND", "LAZY", "LAYER", "REASON"],
        status.snapshots.map((snapshot) => [
          snapshot.name,
          snapshot.kind,
          snapshot.lazy ? "yes" : "no",
          shortDigest(snapshot.layerDigest),
          snapshot.fallbackReason,
        ]),
      ),
    );
  }
  return lines.join("");
}

/** Sizes are decoded bytes; of a replay behind which no start was traced nobody knows what it was good for. */
function replayTable(replays: readonly Replay[]): string {
  const share = (part: number | undefined): string =>
    part === undefined ? "" : `${Math.round(100 * part)} %`;
  return table(
    ["FETCHED AHEAD", "STATE", "PLANNED", "BROUGHT", "REQUESTS", "RECALL", "PRECISION", "WASTE"],
    replays.map((replay) => [
      replay.label,
      replay.state,
      humanBytes(replay.plannedBytes),
      humanBytes(replay.storedBytes),
      String(replay.requests),
      share(replay.start?.recall),
      share(replay.start?.precision),
      replay.start === undefined ? "" : humanBytes(replay.start.wasteBytes),
    ]),
  );
}

function budgetTable(budgets: readonly Budget[]): string {
  const shown = (value: number, unit: string): string =>
    unit === "bytes" ? humanBytes(value) : String(value);
  return table(
    ["BUDGET", "USED", "LIMIT", "DETAIL"],
    budgets.map(({ name, subject, unit, used, limit, detail }) => [
      subject === "" ? name : `${name} ${subject}`,
      shown(used, unit),
      limit === 0 ? "none" : shown(limit, unit),
      detail,
    ]),
  );
}

/** 100 % only when nothing is missing. */
export function percentHere(layer: Pick<Layer, "complete" | "cachedBytes" | "dataBytes">): string {
  if (layer.complete) return "100 %";
  return `${Math.min(99, Math.floor((100 * layer.cachedBytes) / Math.max(1, layer.dataBytes)))} %`;
}

export function shortDigest(digest: string): string {
  return digest.replace(/^(sha\d+:[0-9a-f]{12})[0-9a-f]+$/, "$1");
}
