import { mkdir, readdir, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { Code } from "@connectrpc/connect";
import t from "tap";
import { ContainerState, Signal } from "../../gen/runtime/v1/api_pb.js";
import { delay } from "../../src/async/index.js";
import { IMAGE, kubeletRig, StreamClient, VOLUME_IMAGE } from "./cri-containers-rig.js";

t.setTimeout(300_000);

const sh = (line: string) => ({ command: ["sh", "-c", line] });

t.test("containers live and end as a kubelet asks", async (t) => {
  await using rig = await kubeletRig();
  const { runtime } = rig;
  const pod = await rig.pod("life");

  await t.test("one that ends has its log, its exit code and its reason", async (t) => {
    const id = await rig.create(pod, "short", sh("echo out; echo err >&2; exit 3"));
    t.equal((await rig.status(id)).state, ContainerState.CONTAINER_CREATED);
    await runtime.startContainer({ containerId: id });
    const status = await rig.ended(id);
    t.match(status, { exitCode: 3, reason: "Error", imageId: /^sha256:/, image: { image: IMAGE } });
    t.ok(status.finishedAt >= status.startedAt && status.startedAt >= status.createdAt, "times in order");
    const log = await readFile(join(rig.logs, "life/short.log"), "utf8");
    t.match(log, /^\S+Z stdout F out$/m);
    t.match(log, /^\S+Z stderr F err$/m);
    await t.rejects(runtime.startContainer({ containerId: id }), { code: Code.FailedPrecondition });
    await runtime.stopContainer({ containerId: id, timeout: 1n });
    await runtime.removeContainer({ containerId: id });
    await runtime.removeContainer({ containerId: id });
    await t.rejects(rig.status(id), { code: Code.NotFound });
  });

  await t.test("one that can't be started has ended", async (t) => {
    const id = await rig.create(pod, "broken", { command: ["/no/such/program"] });
    await t.rejects(runtime.startContainer({ containerId: id }));
    t.match(await rig.status(id), {
      state: ContainerState.CONTAINER_EXITED,
      exitCode: 128,
      reason: "StartError",
      message: /no such file/,
    });
    await runtime.removeContainer({ containerId: id });
  });

  await t.test("stopContainer() sends the image's signal, then kills", async (t) => {
    const polite = await rig.run(pod, "polite", {
      image: { image: VOLUME_IMAGE },
      ...sh("trap 'exit 9' USR1; while true; do sleep 0.05; done"),
    });
    t.equal((await rig.status(polite)).stopSignal, Signal.SIGUSR1);
    await delay(300);
    await runtime.stopContainer({ containerId: polite, timeout: 20n });
    t.equal((await rig.status(polite)).exitCode, 9);
    const deaf = await rig.run(pod, "deaf", sh("trap '' TERM; while true; do sleep 1; done"));
    await runtime.stopContainer({ containerId: deaf, timeout: 1n });
    t.match(await rig.status(deaf), { exitCode: 137, reason: "Error" });
    await runtime.stopContainer({ containerId: deaf, timeout: 1n });
  });

  await t.test(
    "an image's volume has what the image has there, and its user is looked up in the image",
    async (t) => {
      const id = await rig.run(pod, "volume", { image: { image: VOLUME_IMAGE } });
      t.match(await rig.exec(id, "cat", "/data/deep/file"), { stdout: "", exitCode: 1 });
      t.match(await rig.exec(id, "stat", "-c", "%a %u", "/data/deep/file"), { stdout: "640 0\n" });
      t.match(await rig.exec(id, "id"), { stdout: /uid=1234.*gid=1235.*1300/ });
      t.match((await rig.status(id)).user?.linux, { uid: 1234n, gid: 1235n });
    },
  );

  await t.test("an image is mounted read-only, in part if asked for", async (t) => {
    const mount = { containerPath: "/vol", readonly: true, image: { image: VOLUME_IMAGE } };
    const id = await rig.run(pod, "image-volume", {
      mounts: [mount, { ...mount, containerPath: "/part", imageSubPath: "data/deep" }],
    });
    t.equal((await rig.exec(id, "cat", "/vol/data/deep/file")).stdout, "from the image\n");
    t.equal((await rig.exec(id, "cat", "/part/file")).stdout, "from the image\n");
    const { mounts } = await rig.status(id);
    t.match(mounts, [{ image: { imageRef: /^sha256:/ } }, { image: { imageRef: /^sha256:/ } }]);
    t.match(await rig.exec(id, "sh", "-c", "echo x > /part/file"), { stderr: /Read-only/, exitCode: 1 });
    await t.rejects(
      rig.create(pod, "outside", { mounts: [{ ...mount, imageSubPath: "data/outside" }] }),
      /ImageVolumeMountFailed/,
    );
  });

  await t.test("limits are changed while it runs, and one above its memory is OOMKilled", async (t) => {
    const id = await rig.run(pod, "limits");
    await runtime.updateContainerResources({
      containerId: id,
      linux: { memoryLimitInBytes: 33_554_432n, cpuShares: 512n },
    });
    t.match((await rig.status(id)).resources?.linux, { memoryLimitInBytes: 33_554_432n, cpuShares: 512n });
    const hungry = await rig.create(pod, "hungry", sh("head -c 200000000 /dev/zero | tail"));
    await runtime.updateContainerResources({
      containerId: hungry,
      linux: { memoryLimitInBytes: 15_728_640n },
    });
    await runtime.startContainer({ containerId: hungry });
    t.match(await rig.ended(hungry), { reason: "OOMKilled", exitCode: 137 });
  });

  await t.test("its log goes on in a new file after reopenContainerLog()", async (t) => {
    const id = await rig.run(pod, "rotated", sh("while true; do echo tick; sleep 0.05; done"));
    const path = join(rig.logs, "life/rotated.log");
    while (!(await readFile(path, "utf8").catch(() => "")).includes("tick")) await delay(20);
    await rename(path, `${path}.1`);
    await runtime.reopenContainerLog({ containerId: id });
    while (!(await readFile(path, "utf8").catch(() => "")).includes("tick")) await delay(20);
    t.match(await readFile(path, "utf8"), /stdout F tick/);
  });

  await t.test("removePodSandbox() takes all containers with it", async (t) => {
    await runtime.stopPodSandbox({ podSandboxId: pod });
    const { containers } = await runtime.listContainers({ filter: { podSandboxId: pod } });
    t.ok(containers.length > 3, "they are still there");
    t.ok(
      containers.every(({ state }) => state === ContainerState.CONTAINER_EXITED),
      "and have ended",
    );
    await runtime.removePodSandbox({ podSandboxId: pod });
    t.same((await runtime.listContainers({})).containers, []);
    for (const folder of ["root", "state"]) {
      t.same(await readdir(join(rig.folder, folder, "cri/containers")), [], `nothing is left in ${folder}`);
    }
    t.same(await readdir(join(rig.folder, "state/cri/image-volumes")), []);
  });
});

t.test("commands, terminals and ports reach into a pod", async (t) => {
  await using rig = await kubeletRig();
  const { runtime } = rig;
  const pod = await rig.pod("streams", { hasOwnNetwork: true });
  const id = await rig.run(pod, "main", {
    stdin: true,
    ...sh("nc -l -p 7000 -e cat & while read line; do echo got $line; done; sleep 1000"),
  });

  await t.test("execSync() has the output and the exit code, and kills what takes too long", async (t) => {
    t.same(await rig.exec(id, "sh", "-c", "echo a; echo b >&2; exit 5"), {
      stdout: "a\n",
      stderr: "b\n",
      exitCode: 5,
    });
    const cmd = ["sh", "-c", "sleep 4321 & sleep 4321"];
    await t.rejects(runtime.execSync({ containerId: id, cmd, timeout: 1n }), {
      code: Code.DeadlineExceeded,
      message: /timeout 1s exceeded/,
    });
    t.notMatch((await rig.exec(id, "sh", "-c", "cat /proc/[0-9]*/cmdline")).stdout, /4321/);
  });

  await t.test("exec() gives a command its input and its output", async (t) => {
    const { url } = await runtime.exec({
      containerId: id,
      cmd: ["sh", "-c", "read line; echo you said $line; exit 6"],
      stdin: true,
      stdout: true,
      stderr: true,
    });
    await using client = await new StreamClient(url, "v5.channel.k8s.io").opened();
    client.send(0, "hello\n");
    await client.closed;
    t.equal(client.text(1), "you said hello\n");
    t.match(client.text(3), /"reason":"ExitCode","message":"6"/);
  });

  await t.test("attach() talks with the first process, also when another client does not read", async (t) => {
    const ask = async () =>
      await runtime.attach({ containerId: id, stdin: true, stdout: true, stderr: true, tty: false });
    await using slow = await new StreamClient((await ask()).url, "v5.channel.k8s.io").opened();
    slow.pause();
    await using client = await new StreamClient((await ask()).url, "v5.channel.k8s.io").opened();
    await delay(100);
    client.send(0, "one\n");
    await client.until(1, "got one");
    t.match(await readFile(join(rig.logs, "streams/main.log"), "utf8"), /stdout F got one/);
  });

  await t.test("portForward() reaches a port that listens in the pod's network only", async (t) => {
    const { url } = await runtime.portForward({ podSandboxId: pod, port: [7000] });
    await using client = await new StreamClient(url, "v4.channel.k8s.io").opened();
    client.send(0, "ping\n");
    await client.until(0, "ping\n");
    const closed = await runtime.portForward({ podSandboxId: pod, port: [7001] });
    await using refused = await new StreamClient(closed.url, "v4.channel.k8s.io").opened();
    await refused.until(1, "refused");
    t.match(refused.text(1), /failed to connect to localhost:7001/);
  });

  await t.test("nothing runs in a container that has ended", async (t) => {
    await runtime.stopContainer({ containerId: id, timeout: 0n });
    const words = { code: Code.FailedPrecondition, message: /CONTAINER_EXITED/ };
    await t.rejects(rig.exec(id, "id"), words);
    await t.rejects(runtime.exec({ containerId: id, cmd: ["id"], stdout: true }), words);
    await t.rejects(runtime.attach({ containerId: id, stdout: true }), words);
    await t.rejects(runtime.reopenContainerLog({ containerId: id }), { code: Code.FailedPrecondition });
  });
});

t.test("requests that make no sense are refused, and leave nothing", async (t) => {
  await using rig = await kubeletRig();
  const { runtime } = rig;
  const pod = await rig.pod("bad");
  const podSandboxId = pod;
  const missing = "0".repeat(64);
  const id = await rig.run(pod, "good", { labels: { a: "1" } });

  await t.rejects(rig.create(pod, "good"), { code: Code.AlreadyExists });
  await t.rejects(rig.create(pod, "x", { image: { image: "lazuli.test/none" } }), { code: Code.NotFound });
  await t.rejects(rig.create(pod, "x", { labels: { long: "x".repeat(5000) } }), {
    code: Code.InvalidArgument,
  });
  await t.rejects(rig.create(pod, "x", { stopSignal: 99 as Signal }), { code: Code.InvalidArgument });
  await t.rejects(runtime.createContainer({ podSandboxId, config: {} }), { code: Code.InvalidArgument });
  await t.rejects(runtime.createContainer({ podSandboxId: missing, config: {} }), { code: Code.NotFound });
  await t.rejects(runtime.startContainer({ containerId: missing }), { code: Code.NotFound });
  await t.rejects(runtime.startContainer({ containerId: id }), { code: Code.FailedPrecondition });
  await t.rejects(rig.status(missing), { code: Code.NotFound });
  await t.rejects(rig.exec(missing, "id"), { code: Code.NotFound });
  await t.rejects(rig.exec(id), { code: Code.InvalidArgument });
  await t.rejects(runtime.exec({ containerId: id, cmd: ["sh"], tty: true, stderr: true, stdout: true }), {
    code: Code.InvalidArgument,
  });
  await t.rejects(runtime.updateContainerResources({ containerId: missing }), { code: Code.NotFound });
  await t.rejects(runtime.portForward({ podSandboxId: missing, port: [1] }), { code: Code.NotFound });
  await t.rejects(runtime.execSync({ containerId: id, cmd: ["/none"] }), /no such file/);
  await runtime.stopContainer({ containerId: missing, timeout: 1n });
  await runtime.removeContainer({ containerId: missing });

  const list = async (filter: object) =>
    (await runtime.listContainers({ filter })).containers.map(({ metadata }) => metadata?.name);
  t.same(await list({}), ["good"], "nothing of what was refused is there");
  t.same(await list({ labelSelector: { a: "1" } }), ["good"]);
  t.same(await list({ labelSelector: { a: "2" } }), []);
  t.same(await list({ id: id.slice(0, 10), podSandboxId: pod.slice(0, 10) }), ["good"]);
  t.same(await list({ state: { state: ContainerState.CONTAINER_EXITED } }), []);
  t.same(await readdir(join(rig.folder, "root/cri/containers")), [id]);

  // A log where a folder is can't be written: the container does not start, and can be removed.
  await mkdir(join(rig.logs, "bad/folder.log"), { recursive: true });
  const unlogged = await rig.create(pod, "folder");
  await t.rejects(runtime.startContainer({ containerId: unlogged }));
  t.match(await rig.status(unlogged), { reason: "StartError", exitCode: 128 });
  await runtime.removeContainer({ containerId: unlogged });

  const { stdout, exitCode } = await rig.exec(id, "sh", "-c", "head -c 3000000 /dev/zero; exit 2");
  t.same([stdout.length, exitCode], [3_000_000, 2]);
  const cmd = ["sh", "-c", "head -c 20000000 /dev/zero; echo done > /tmp/done"];
  await t.rejects(runtime.execSync({ containerId: id, cmd }), { code: Code.ResourceExhausted });
  t.equal((await rig.exec(id, "cat", "/tmp/done")).stdout, "done\n", "what is too much was read and dropped");
});
