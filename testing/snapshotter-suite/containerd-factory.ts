import { join } from "node:path";
import type { Snapshotter } from "../../src/snapshotters/index.js";
import { Cleanup } from "../rig/cleanup.js";
import { startContainerd } from "../rig/containerd.js";
import { btrfsFolder, type PlaceFor, temporaryFolder } from "./factories.js";
import { socketSnapshotter } from "./socket-client.js";
import type { OtherAnswer, SuiteSnapshotter } from "./suite-case.js";
import { badOnes } from "./walk-cases.js";

const NAMESPACE = "suite";

type DaemonClient = (
  socketPath: string,
  names: { readonly snapshotter: string; readonly namespace: string },
) => Snapshotter;

/** Snapshotters of the installed containerd (1.6), each behind its own daemon's metadata. */
function containerdSnapshotter(
  snapshotter: string,
  options: { readonly folder?: PlaceFor | undefined; readonly client?: DaemonClient | undefined } = {},
): () => Promise<SuiteSnapshotter> {
  const { folder: placeFor = temporaryFolder, client = socketSnapshotter } = options;
  return async () => {
    const cleanup = new Cleanup();
    const folder = join(await placeFor(cleanup), "containerd");
    const start = async () => {
      // Not to take away what a case has left without a lease or a root label.
      const daemon = await startContainerd({ folder, collectsOnRequest: true });
      return { daemon, snapshotter: client(daemon.address, { snapshotter, namespace: NAMESPACE }) };
    };
    let running = await start();
    const stop = async (): Promise<void> => {
      await running.snapshotter.close();
      await running.daemon.stop();
    };
    cleanup.add(stop);
    return {
      snapshotter: running.snapshotter,
      dispose: async () => await cleanup[Symbol.asyncDispose](),
      restart: async () => {
        await stop();
        running = await start();
        return running.snapshotter;
      },
    };
  };
}

const bucket: OtherAnswer = { code: "UNKNOWN", because: "what bolt says of an empty key has no class" };
const list: OtherAnswer = {
  code: "UNKNOWN",
  because: "List of 1.6 hands the error of the filters on without its class",
};
const noCleanup = "the service of 1.6 has no Cleanup over its metadata";

/** What containerd 1.6 can, and where its answers differ from what the suite wants. */
const common = {
  texts: "namespaced",
  cancels: true,
  walksInOrder: true,
  queuesCommits: true,
  takesLowestCharacters: true,
} as const;
const answers: Readonly<Record<string, OtherAnswer>> = {
  "NoName: prepare": bucket,
  "NoName: view": bucket,
  "NoName: commit": bucket,
  ...Object.fromEntries(
    badOnes.flatMap((filter) => [
      [`BadFilters: ${filter}`, list],
      [`BadFilters: kind or ${filter}`, list],
    ]),
  ),
};
const without = { Cleanup: noCleanup, CleanupBesideChanges: noCleanup } as const;

export function containerdOverlayfs(client?: DaemonClient) {
  return {
    make: containerdSnapshotter("overlayfs", { client }),
    ...common,
    usage: "own",
    answers,
    without,
  } as const;
}

export function containerdNative() {
  return {
    make: containerdSnapshotter("native"),
    ...common,
    usage: "tree",
    answers: {
      ...answers,
      "Refusals: commit a view": {
        code: "UNKNOWN",
        because: "it measures the folder before it looks at the kind, and a view of a parent has none",
      },
    },
    without: {
      ...without,
      TimesOfFiles: "its copy of 1.6 leaves out the times of links",
      Holes: "its copy of 1.6 writes them out",
    },
  } as const;
}

export function containerdBtrfs() {
  return {
    make: containerdSnapshotter("btrfs", { folder: btrfsFolder }),
    ...common,
    usage: "difference",
    answers,
    without: { ...without, RootPermission: "its subvolumes take the umask of the daemon, which has ours: 0" },
  } as const;
}
