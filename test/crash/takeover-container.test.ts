import { readFile } from "node:fs/promises";
import { join } from "node:path";
import t from "tap";
import { delay } from "../../src/async/index.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { oddRegistry, startLab } from "../../testing/rig/lab.js";

t.setTimeout(300_000);

const KILLS = 4;
const ROUNDS_AFTER = 2;
const TRIES = 600;

/** Reads all of a large file, most of which is not here at first, and counts; ends at the first other digest. */
const script = `
  set -e
  want=$(sha256sum < /data/large)
  n=0
  while [ ! -e /tmp/stop ]; do
    [ "$(sha256sum < /data/large)" = "$want" ]
    /bin/cat /many/f$((n % 300 + 1)) > /dev/null
    n=$((n + 1))
    echo "$n $want" > /tmp/rounds
  done
`;

t.test("a running container reads on while lazuli is killed, and is started again afterwards", async (t) => {
  await using cleanup = new Cleanup();
  const registry = await oddRegistry(cleanup);
  await using lab = await startLab({ config: "[layer]\nbackground_fill = false" });
  const { containerd } = lab;
  const image = `${registry.host}/odd:small-chunks`;
  await containerd.ctrRemote(["images", "rpull", "--plain-http", "--snapshotter", "lazuli", image]);
  const words = ["--snapshotter", "lazuli", image];
  await containerd.ctr(["run", "-d", ...words, "reader", "/bin/sh", "-c", script]);
  cleanup.add(() =>
    containerd.ctr(["tasks", "kill", "-s", "SIGKILL", "reader"], { allow: [1] }).then(() => undefined),
  );
  const inside = async (line: string): Promise<string> =>
    (
      await containerd.ctr([
        "tasks",
        "exec",
        "--exec-id",
        `look-${Date.now()}`,
        "reader",
        "/bin/sh",
        "-c",
        line,
      ])
    ).stdout;
  const rounds = async (): Promise<number> =>
    Number.parseInt(await inside("cat /tmp/rounds 2>/dev/null || echo 0"), 10);
  for (let kill = 0; kill < KILLS; kill += 1) {
    await delay(200);
    await lab.restart({ signal: kill % 2 === 0 ? "SIGKILL" : "SIGTERM" });
  }
  const before = await rounds();
  let now = before;
  for (let attempt = 0; now < before + ROUNDS_AFTER && attempt < TRIES; attempt += 1) {
    await delay(100);
    now = await rounds();
  }
  t.ok(now >= before + ROUNDS_AFTER, `the container reads on: ${now} rounds`);
  const found = (await inside("cat /tmp/rounds")).split(" ")[1];
  await inside("touch /tmp/stop");
  const eager = await containerd.ctr([
    "run",
    "--rm",
    ...words,
    "again",
    "/bin/sh",
    "-c",
    "sha256sum < /data/large",
  ]);
  t.equal(eager.stdout.split(" ")[0], found, "a new container reads the same");
  t.match(await readFile(join(lab.folder, "lazuli", "lazuli.log"), "utf8"), /Went on with the mounts/);
  for (let attempt = 0; attempt < TRIES; attempt += 1) {
    const { stdout } = await containerd.ctr(["tasks", "ls"]);
    if (/reader +\d+ +STOPPED/.test(stdout)) break;
    await delay(100);
  }
  const ended = await containerd.ctr(["tasks", "delete", "reader"], { allow: [1, 137] });
  t.equal(ended.code, 0, "it ended by itself, without an error");
  await containerd.ctr(["containers", "delete", "reader"]);
});
