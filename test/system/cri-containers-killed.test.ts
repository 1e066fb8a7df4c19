import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import t from "tap";
import { ContainerState } from "../../gen/runtime/v1/api_pb.js";
import { kubeletRig } from "./cri-containers-rig.js";

t.setTimeout(300_000);

const sh = (line: string) => ({ command: ["sh", "-c", line] });
const { CONTAINER_CREATED, CONTAINER_EXITED, CONTAINER_RUNNING } = ContainerState;

t.test("containers outlive a daemon that is killed", async (t) => {
  await using rig = await kubeletRig();
  const pod = await rig.pod("restart");
  const running = await rig.run(
    pod,
    "running",
    sh("echo one; while [ ! -e /tmp/go ]; do sleep 0.05; done; echo two; exit 5"),
  );
  const ending = await rig.run(pod, "ending", sh("sleep 1; exit 7"));
  const created = await rig.create(pod, "created");
  const log = async (name: string): Promise<string> =>
    await readFile(join(rig.logs, `restart/${name}.log`), "utf8");
  while (!(await log("running")).includes("one")) await rig.status(running);
  const before = await rig.status(running);
  const { startedAt } = before;
  await rig.restart();
  t.match(await rig.status(running), { state: CONTAINER_RUNNING, startedAt });
  t.match(await rig.status(created), { state: CONTAINER_CREATED });
  t.match(await rig.ended(ending), { exitCode: 7, reason: "Error" });
  t.equal((await rig.exec(running, "sh", "-c", "echo > /tmp/go; echo went")).stdout, "went\n");
  t.match(await rig.ended(running), { exitCode: 5, startedAt });
  t.match(await log("running"), /F two/);
  const { finishedAt } = await rig.status(ending);
  await rig.restart();
  t.match(await rig.status(ending), { exitCode: 7, finishedAt }, "an end is told once");
  await rig.runtime.startContainer({ containerId: created });
  t.match(await rig.status(created), { state: CONTAINER_RUNNING });
  await t.rejects(rig.create(pod, "created"), /reserved/);
});

t.test("what a kill leaves of a call is whole or gone after the next start", async (t) => {
  await using rig = await kubeletRig();
  const pod = await rig.pod("steps");
  /** Makes a call that the daemon dies in, and starts the next daemon. */
  const dieIn = async (point: string, call: () => Promise<unknown>): Promise<void> => {
    await rig.restart({ point });
    await Promise.all([t.rejects(call(), `the call is cut off at ${point}`), rig.died()]);
    await rig.restart();
  };
  const folders = async (): Promise<string[]> => [
    ...(await readdir(join(rig.folder, "root/cri/containers"))),
    ...(await readdir(join(rig.folder, "state/cri/containers"))),
  ];

  await dieIn("cri.container.prepared", () => rig.create(pod, "a"));
  t.same((await rig.runtime.listContainers({})).containers, []);
  t.same(await folders(), []);
  await dieIn("cri.container.rootfs-mounted", () => rig.create(pod, "a"));
  t.same(await readdir(join(rig.folder, "state/cri/mounts")), []);
  const a = await rig.create(pod, "a");

  await dieIn("cri.container.tasked", () => rig.runtime.startContainer({ containerId: a }));
  t.match(await rig.status(a), { state: CONTAINER_CREATED });

  await dieIn("cri.container.started", () => rig.runtime.startContainer({ containerId: a }));
  t.match(await rig.status(a), { state: CONTAINER_RUNNING });
  t.equal((await rig.exec(a, "echo", "here")).stdout, "here\n");

  await dieIn("cri.container.exit-noticed", () => rig.runtime.stopContainer({ containerId: a, timeout: 0n }));
  t.match(await rig.status(a), { state: CONTAINER_EXITED });

  await dieIn("cri.container.emptied", () => rig.runtime.removeContainer({ containerId: a }));
  t.match(await rig.status(a), { state: CONTAINER_EXITED });
  await rig.runtime.removeContainer({ containerId: a });
  t.same(await folders(), []);

  await dieIn("cri.container.stored", () => rig.create(pod, "b"));
  const [b] = (await rig.runtime.listContainers({})).containers;
  t.match(b, { metadata: { name: "b" }, state: CONTAINER_CREATED });
  await rig.runtime.removeContainer({ containerId: b!.id });
  t.same(await folders(), []);
});
