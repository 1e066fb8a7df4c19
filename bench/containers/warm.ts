import { randomBytes } from "node:crypto";
import type { Engine } from "./engine.js";

interface Subject {
  readonly engine: Engine;
  readonly image: string;
  readonly note: (title: string, value: number) => void;
}

/** Containers that run at once while memory is looked at. */
const HELD = 10;

/** One container in front to its end, and one in the background step by step. */
export async function lives({ engine, image, note }: Subject): Promise<void> {
  const id = `bench-${randomBytes(4).toString("hex")}`;
  const timed = async (title: string, args: readonly string[]): Promise<void> => {
    const started = performance.now();
    await engine.ctr(args);
    note(`${title}, ms`, performance.now() - started);
  };
  await timed("run --rm, until it has gone", ["run", "--rm", image, id, "/bin/true"]);
  await timed("run -d, until it runs", ["run", "-d", image, id, "/bin/sleep", "1000"]);
  await timed("exec, until it has ended", ["tasks", "exec", "--exec-id", "x", id, "/bin/true"]);
  await timed("tasks rm -f", ["tasks", "rm", "-f", id]);
  await timed("containers rm", ["containers", "rm", id]);
  await timed("version, a call that does nothing", ["version"]);
}

export async function memory({ engine, image, note }: Subject): Promise<void> {
  const before = await engine.residentMiB();
  const ids = Array.from({ length: HELD }, (_, index) => `held-${index}`);
  for (const id of ids) await engine.ctr(["run", "-d", image, id, "/bin/sleep", "1000"]);
  const after = await engine.residentMiB();
  note("memory of the idle daemon, MiB", before.daemon);
  note(`memory of the daemon with ${HELD} containers, MiB`, after.daemon);
  note("memory a container, daemon and shim, MiB", (after.daemon + after.shims - before.daemon) / HELD);
  for (const id of ids) {
    await engine.ctr(["tasks", "rm", "-f", id]);
    await engine.ctr(["containers", "rm", id]);
  }
}
