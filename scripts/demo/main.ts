/**
 * The demonstration: one python program, started once after a full pull by containerd alone and once lazily through
 * lazuli, over the same simulated link.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Link, startLink } from "../../src/bench/link/index.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { startContainerd, unmountBelow } from "../../testing/rig/containerd.js";
import { dropCaches } from "../../testing/rig/drop-caches.js";
import { projectRoot } from "../../testing/rig/lab.js";
import { pythonRegistry } from "../../testing/rig/python-registry.js";
import { startSnapshotter } from "../../testing/rig/snapshotter.js";
import { progress, timelineTable } from "./print.js";
import { type Timeline, timeStart } from "./time-start.js";

const RTT_MS = 20;
const BITS_PER_SECOND = 400_000_000;

async function main(): Promise<void> {
  await using cleanup = new Cleanup();
  const work = await mkdtemp(join(tmpdir(), "lazuli-demo-"));
  cleanup.add(() => rm(work, { recursive: true, force: true }));

  progress("registry and python image (built from Debian packages and converted to eStargz the first time)");
  const registry = await pythonRegistry({ projectRoot, scratch: work });
  cleanup.add(() => registry.stop());
  const link = await startLink({
    target: { host: "127.0.0.1", port: registry.port },
    rttMs: RTT_MS,
    bitsPerSecond: BITS_PER_SECOND,
  });
  cleanup.add(() => link.stop());
  const image = `127.0.0.1:${link.port}/python`;

  progress("full pull by containerd, then the same program");
  const full = await startFull({ folder: join(work, "full"), image: `${image}:org`, link });
  progress("lazy start through lazuli");
  const lazy = await startLazy({ folder: join(work, "lazy"), image: `${image}:esgz`, link });
  console.log(timelineTable({ full, lazy, rttMs: RTT_MS, bitsPerSecond: BITS_PER_SECOND }));
}

interface StartOptions {
  readonly folder: string;
  readonly image: string;
  readonly link: Link;
}

async function startFull(options: StartOptions): Promise<Timeline> {
  const containerd = await startContainerd({ folder: options.folder });
  try {
    await dropCaches();
    return await timeStart({
      pull: () => containerd.ctr(["images", "pull", "--plain-http", options.image]),
      run: { program: "ctr", args: ["--address", containerd.address, "run", "--rm", options.image, "demo"] },
      bytesDown: () => options.link.bytesDown,
    });
  } finally {
    await containerd.stop();
  }
}

async function startLazy(options: StartOptions): Promise<Timeline> {
  const folder = join(options.folder, "lazuli");
  const snapshotter = await startSnapshotter({
    folder,
    config: `[containerd]\naddress = "${join(options.folder, "containerd", "containerd.sock")}"\n`,
  });
  try {
    const containerd = await startContainerd({
      folder: join(options.folder, "containerd"),
      snapshotter: { name: "lazuli", socket: snapshotter.socket, root: snapshotter.root },
    });
    try {
      await dropCaches();
      const run = [
        "--address",
        containerd.address,
        "run",
        "--rm",
        "--snapshotter",
        "lazuli",
        options.image,
        "demo",
      ];
      const pull = ["images", "rpull", "--plain-http", "--snapshotter", "lazuli", options.image];
      return await timeStart({
        pull: () => containerd.ctrRemote(pull),
        run: { program: "ctr", args: run },
        bytesDown: () => options.link.bytesDown,
      });
    } finally {
      await containerd.stop();
    }
  } finally {
    await snapshotter.stop();
    await unmountBelow(folder);
  }
}

await main();
