import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { delay } from "../../src/async/index.js";
import { startLink } from "../../src/bench/link/index.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { dropCaches } from "../../testing/rig/drop-caches.js";
import { type NodeOptions, startNode } from "./node-engine.js";

const LOOK_PAUSE_MS = 2;
const OUTPUT = /^\S+ stdout F hello$/m;

export interface ColdPodOptions extends Omit<NodeOptions, "registry"> {
  readonly tag: "esgz" | "org";
  readonly port: number;
  /** Undefined: as fast as the machine is. */
  readonly speed: { readonly rttMs: number; readonly bitsPerSecond: number } | undefined;
}

export interface ColdPod {
  /** From RunPodSandbox until the program's first line is in the log. */
  readonly outputSeconds: number;
  /** Of which the pod, the pull, and the container: creating, starting, speaking. */
  readonly podSeconds: number;
  readonly pullSeconds: number;
  readonly containerSeconds: number;
  /** What had come over the link by then; undefined without one. */
  readonly megabytes: number | undefined;
}

/** A pod of an image of which the node has nothing, on a daemon that has nothing. */
export async function coldPod(options: ColdPodOptions): Promise<ColdPod> {
  const { folder, port, speed, tag } = options;
  await using cleanup = new Cleanup();
  cleanup.add(() => rm(folder, { recursive: true, force: true }));
  const link =
    speed === undefined ? undefined : await startLink({ target: { host: "127.0.0.1", port }, ...speed });
  cleanup.add(() => link?.stop());
  const registry = `127.0.0.1:${link?.port ?? port}`;
  const node = await startNode({ ...options, registry });
  cleanup.add(async () => await node[Symbol.asyncDispose]());
  const logs = join(folder, "logs");
  await mkdir(logs);
  await dropCaches();
  const bytesBefore = link?.bytesDown ?? 0;
  const times = [performance.now()];
  const sandboxConfig = {
    metadata: { name: "cold", uid: "uid-cold", namespace: "bench", attempt: 0 },
    logDirectory: logs,
    linux: {},
  };
  const { podSandboxId } = await node.runtime.runPodSandbox({ config: sandboxConfig });
  times.push(performance.now());
  const image = { image: `${registry}/python:${tag}` };
  const { imageRef } = await node.images.pullImage({ image, sandboxConfig });
  times.push(performance.now());
  const config = {
    metadata: { name: "hello", attempt: 0 },
    image: { image: imageRef },
    logPath: "hello.log",
    linux: {},
  };
  const { containerId } = await node.runtime.createContainer({ podSandboxId, config, sandboxConfig });
  await node.runtime.startContainer({ containerId });
  while (!OUTPUT.test(await readFile(join(logs, "hello.log"), "utf8"))) await delay(LOOK_PAUSE_MS);
  times.push(performance.now());
  const seconds = (from: number, to: number): number => (times[to]! - times[from]!) / 1000;
  return {
    outputSeconds: seconds(0, 3),
    podSeconds: seconds(0, 1),
    pullSeconds: seconds(1, 2),
    containerSeconds: seconds(2, 3),
    megabytes: link === undefined ? undefined : (link.bytesDown - bytesBefore) / 1e6,
  };
}
