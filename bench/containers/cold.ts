import { rm } from "node:fs/promises";
import { startLink } from "../../src/bench/link/index.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { dropCaches } from "../../testing/rig/drop-caches.js";
import { Engine, type EngineName } from "./engine.js";

const LINK = { rttMs: 20, bitsPerSecond: 400e6 };

export const coldTitles = {
  output:
    "a python image that is not there, over 20 ms and 400 Mbit/s: until its program has spoken and ended, s",
  bytes: "the same: what came over the link, MB",
};

/** Pulls as each does by itself, lazuli lazily, and runs the image's program. */
export async function coldStart(options: {
  readonly name: EngineName;
  readonly folder: string;
  readonly port: number;
}): Promise<{ readonly outputSeconds: number; readonly megabytes: number }> {
  const { name, folder, port } = options;
  await using cleanup = new Cleanup();
  cleanup.add(() => rm(folder, { recursive: true, force: true }));
  const link = await startLink({ target: { host: "127.0.0.1", port }, ...LINK });
  cleanup.add(() => link.stop());
  const engine = await Engine.start(name, folder, { isNew: true });
  cleanup.add(() => engine.stop());
  await dropCaches();
  const isLazy = name === "lazuli";
  const image = `127.0.0.1:${link.port}/python:${isLazy ? "esgz" : "org"}`;
  const started = performance.now();
  await engine.ctr(["images", "pull", image]);
  const { stdout } = await engine.ctr(["run", "--rm", image, "cold", "python3", "/app/hello.py"]);
  const outputSeconds = (performance.now() - started) / 1000;
  if (stdout !== "hello\n") throw new Error(`Cannot compare: want hello, got ${stdout}`);
  return { outputSeconds, megabytes: link.bytesDown / 1e6 };
}
