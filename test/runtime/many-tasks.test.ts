import { readdir } from "node:fs/promises";
import { join } from "node:path";
import t from "tap";
import { delay } from "../../src/async/index.js";
import { readMountInfo } from "../../src/mounts/index.js";
import { namespace, shimsOf, taskLab } from "./lab.js";

const CYCLES = 20;

t.test("20 tasks at once and 20 more leave no shim, mount, socket, file or descriptor", async (t) => {
  await using lab = await taskLab();
  const { tasks, folder } = lab;
  const files = async (): Promise<number> => (await readdir("/proc/self/fd")).length;
  const run = async (id: string): Promise<void> => {
    const name = { namespace, id, execId: "" };
    await tasks.create(lab.request(id, ["sh", "-c", "exit 5"]));
    const waiting = tasks.wait(name);
    await tasks.start(name);
    t.match(await waiting, { exitStatus: 5 }, id);
    t.match(await tasks.delete(name), { exitStatus: 5 }, id);
  };
  await run("first");
  const socketsBefore = (await readdir("/run/containerd/s")).length;
  const before = await files();
  await Promise.all(Array.from({ length: CYCLES }, (_, index) => run(`all-${index}`)));
  for (let index = 0; index < CYCLES; index += 1) await run("again");
  while ((await shimsOf(folder)).length > 0) await delay(20);
  while ((await files()) > before) await delay(20);
  t.same(await readdir(join(folder, `state/io.containerd.runtime.v2.task/${namespace}`)), []);
  t.same(await readdir(join(folder, `root/io.containerd.runtime.v2.task/${namespace}`)), []);
  t.notOk((await readMountInfo()).some(({ target }) => target.startsWith(join(folder, "state"))));
  // Other tests may have shims of their own just now.
  t.ok((await readdir("/run/containerd/s")).length < socketsBefore + CYCLES);
});
