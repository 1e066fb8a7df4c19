import type { BenchReport } from "../contract.js";
import type { PublishedImage } from "../images/index.js";
import type { Ready, Workload } from "../workloads/index.js";
import type { LinkShape } from "./lab.js";

/** What holds for all starts. */
export function conditionsOf(
  options: {
    readonly links: readonly LinkShape[];
    readonly rounds: number;
    readonly seed: number;
    readonly workloads: readonly Workload[];
  },
  images: ReadonlyMap<string, PublishedImage>,
): BenchReport["conditions"] {
  const { links, rounds, seed, workloads } = options;
  return [
    ["link", links.map(linkText).join("; ")],
    ["registry", "docker-registry with TLS, behind the link; its blobs are in its memory"],
    ["rounds", `${rounds}, in each all starts in an order of their own; seed ${seed}`],
    ["state", "each start has daemons on empty folders, and the kernel's caches were dropped"],
    ["profiles", "learnt by another daemon from one start of the same image, where a contestant has one"],
    ["SOCI indexes", "spans of 4 MiB, layers from 10 MiB on; soci-snapshotter is told the index's digest"],
    ...workloads.map((workload) => [`image ${workload.name}`, imageText(workload, images)] as const),
  ];
}

function linkText({ rttMs, bitsPerSecond, jitterMs, breakEveryBytes }: LinkShape): string {
  const jitter = jitterMs === 0 ? "" : `, up to ${jitterMs} ms late`;
  const breaks = breakEveryBytes === undefined ? "" : `, a connection breaks every ${breakEveryBytes} bytes`;
  return `${rttMs} ms there and back, ${bitsPerSecond / 1e6} Mbit/s each way${jitter}${breaks}`;
}

function imageText(workload: Workload, images: ReadonlyMap<string, PublishedImage>): string {
  const { origin, command, ready } = workload;
  const from = origin.kind === "built" ? `Debian's ${origin.packages.join(", ")}` : origin.reference;
  const megabytes = ((images.get(workload.name)?.plainBytes ?? 0) / 1e6).toFixed(1);
  const words = command === undefined ? "its own command" : command.join(" ");
  return `${from}; ${megabytes} MB; ${words}; ${readyText(ready)}`;
}

function readyText(ready: Ready): string {
  switch (ready.kind) {
    case "exit":
      return "ready when it has ended";
    case "line":
      return `ready when it says "${ready.text}"`;
    case "port":
      return `ready when it listens on port ${ready.port}`;
  }
}
