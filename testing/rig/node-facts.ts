import { readdir, readFile } from "node:fs/promises";
import { request } from "node:http";
import { join } from "node:path";
import { delay } from "../../src/async/index.js";
import type { Lab } from "./lab.js";
import type { RunningSnapshotter } from "./snapshotter.js";

/** What the tests read of `lazuli status --json`. */
export interface NodeStatus {
  readonly layers: readonly {
    readonly digest: string;
    readonly reference: string;
    readonly mountKind: string;
    readonly units: number;
    readonly cachedUnits: number;
    readonly cachedBytes: number;
    readonly dataBytes: number;
    readonly fetchedBytes: number;
    readonly complete: boolean;
  }[];
  readonly snapshots: readonly { readonly name: string; readonly kind: string; readonly lazy: boolean }[];
}

/** What the tests read of `lazuli explain --json`, from the bottom layer up. */
export type ExplainedLayers = readonly {
  readonly layerDigest: string;
  readonly lazy: boolean;
  readonly reason: string;
}[];

export async function statusOf(lab: Lab): Promise<NodeStatus> {
  return JSON.parse((await lab.snapshotter.lazuli(["status", "--json"])).stdout);
}

export async function explained(lab: Lab, image: string): Promise<ExplainedLayers> {
  return JSON.parse((await lab.snapshotter.lazuli(["explain", image, "--json"])).stdout).layers;
}

/** The records of lazuli's log. */
export async function logRecords(snapshotter: RunningSnapshotter): Promise<Record<string, unknown>[]> {
  const text = await readFile(snapshotter.logFile, "utf8");
  return text
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line));
}

/** The text of `/metrics` behind a Unix socket. */
export async function metricsText(socketPath: string): Promise<string> {
  return await new Promise<string>((resolve, reject) => {
    const outgoing = request({ socketPath, path: "/metrics" }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (piece: string) => {
        text += piece;
      });
      response.on("end", () => resolve(text));
      response.on("error", reject);
    });
    outgoing.on("error", reject).end();
  });
}

const DURABLE_TRIES = 200;
/** Bytes before and behind the bits of a bitmap file. */
const BITMAP_HEADER = 64;
const BITMAP_TRAILER = 32;

/** Waits until every unit that is here is noted on disk, so that a SIGKILL does not take it. */
export async function untilDurable(lab: Lab): Promise<void> {
  for (let attempt = 0; attempt < DURABLE_TRIES; attempt += 1) {
    const { layers } = await statusOf(lab);
    const here = layers.reduce((sum, layer) => sum + layer.cachedUnits, 0);
    if ((await notedUnits(lab.snapshotter.root)) === here) return;
    await delay(100);
  }
  throw new Error("lazuli did not write its bitmaps");
}

async function notedUnits(root: string): Promise<number> {
  const folder = join(root, "layers", "v1");
  let units = 0;
  for (const name of await readdir(folder)) {
    const bitmap = await readFile(join(folder, name, "bitmap")).catch((error: NodeJS.ErrnoException) => {
      // A layer of which nothing came yet has none.
      if (error.code === "ENOENT") return Buffer.alloc(0);
      throw error;
    });
    for (const byte of bitmap.subarray(BITMAP_HEADER, Math.max(0, bitmap.length - BITMAP_TRAILER))) {
      for (let bits = byte; bits !== 0; bits >>= 1) units += bits & 1;
    }
  }
  return units;
}
