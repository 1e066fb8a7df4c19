import { join } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import { TaskCreateSchema } from "../../gen/containerd/events/task_pb.js";
import { LazuliError } from "../errors/index.js";
import type { EventExchange } from "../events/index.js";
import { type OpenLayerEngine, StartRecorder } from "../layer/index.js";
import {
  type ContainerRow,
  containers,
  type Metadata,
  namespacedSnapshots,
  type SnapshotRow,
  snapshotRows,
} from "../metadata/index.js";
import { log } from "../observe/index.js";
import { startOf } from "../snapshotters/index.js";
import { openTraceStore, type TraceStore } from "../traces/index.js";
import type { Config } from "./config-keys.js";
import type { Startup } from "./startup.js";

/** What records starts, and what was recorded. */
export interface TraceParts {
  readonly recorder: StartRecorder;
  readonly store: TraceStore;
}

export interface TracePartsOptions {
  readonly config: Config;
  readonly engine: OpenLayerEngine;
  readonly metadata: Metadata;
}

export async function startTraces(startup: Startup, options: TracePartsOptions): Promise<TraceParts> {
  const { config, engine, metadata } = options;
  const store = await startup.part("start traces", () =>
    openTraceStore({ folder: join(config.root, "traces") }),
  );
  const recorder = await startup.part(
    "start recorder",
    () =>
      new StartRecorder({
        engine,
        store,
        recordedMs: config.trace.seconds * 1000,
        commandOf: (key) => commandOf(metadata, key),
      }),
    (made) => made.close(),
  );
  return { recorder, store };
}

/** A container that starts long after its snapshot was prepared, or again, is recorded too. Ends with the startup. */
export async function recordTasks(
  startup: Startup,
  parts: {
    readonly events: EventExchange;
    readonly metadata: Metadata;
    readonly recorder: StartRecorder;
    readonly lazyName: string | undefined;
  },
): Promise<void> {
  const { events, metadata, recorder, lazyName } = parts;
  await startup.part(
    "recorded tasks",
    () => {
      const ending = new AbortController();
      const listening = listen(events, {
        signal: ending.signal,
        onCreated: (namespace, id) => {
          const row = metadata.get(containers, [namespace, id]);
          if (row === undefined || row.snapshotter !== lazyName) return;
          const place = [namespace, row.snapshotter, row.snapshotKey];
          const key = metadata.get(namespacedSnapshots, place)?.storeKey;
          const snapshot = key === undefined ? undefined : metadata.get(snapshotRows, key);
          if (key !== undefined && snapshot?.kind === "active")
            recorder.begin(startOf({ key }, ancestorsOf(metadata, snapshot)));
        },
      });
      return { ending, listening };
    },
    async ({ ending, listening }) => {
      ending.abort();
      await listening;
    },
  );
}

async function listen(
  events: EventExchange,
  options: { readonly signal: AbortSignal; readonly onCreated: (namespace: string, id: string) => void },
): Promise<void> {
  const { signal, onCreated } = options;
  try {
    for await (const { namespace, event } of events.subscribe(['topic=="/tasks/create"'], { signal })) {
      if (event !== undefined) onCreated(namespace, fromBinary(TaskCreateSchema, event.value).containerId);
    }
  } catch (thrown) {
    if (signal.aborted) return;
    log.warn("Starts of tasks are not recorded any more", { error: LazuliError.from(thrown).message });
  }
}

function ancestorsOf(metadata: Metadata, { parent }: SnapshotRow): readonly SnapshotRow[] {
  const chain: SnapshotRow[] = [];
  for (let name = parent; name !== ""; name = chain.at(-1)!.parent) {
    const row = metadata.get(snapshotRows, name);
    if (row === undefined) break;
    chain.push(row);
  }
  return chain;
}

/** What the container with this snapshot runs: `<namespace>/<number>/<key>` names it; containerd's own are not known here. */
function commandOf(metadata: Metadata, storeKey: string): readonly string[] | undefined {
  const [, namespace, key] = /^([^/]+)\/\d+\/(.*)$/s.exec(storeKey) ?? [];
  if (namespace === undefined || key === undefined) return undefined;
  // The container has the snapshot's name with every client that we know.
  const named = metadata.get(containers, [namespace, key]);
  const row =
    named?.snapshotKey === key
      ? named
      : Array.from(metadata.entries(containers, [namespace]), ({ value }) => value).find(
          ({ snapshotKey }) => snapshotKey === key,
        );
  return row === undefined ? undefined : argumentsOf(row);
}

function argumentsOf({ spec }: ContainerRow): readonly string[] | undefined {
  try {
    const parsed = JSON.parse(Buffer.from(spec?.value ?? []).toString("utf8")) as {
      readonly process?: { readonly args?: unknown };
    };
    const given = parsed.process?.args;
    return Array.isArray(given) && given.every((word) => typeof word === "string") ? given : undefined;
  } catch {
    // A client's own kind of spec: nobody knows the command then.
    return undefined;
  }
}
