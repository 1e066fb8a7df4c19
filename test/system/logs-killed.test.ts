import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { delay } from "../../src/async/index.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { command } from "../../testing/rig/command.js";
import { startDaemon } from "../../testing/rig/daemon.js";
import { oddRegistry, projectRoot } from "../../testing/rig/lab.js";

const NAMESPACE = `logs-${process.pid}`;
const LINES = 300;
const KILLS = 3;
const anyCode = Array.from({ length: 256 }, (_, code) => code);
/** Says a number many times a second, on both outputs in turn, and ends with a code of its own. */
const talk = `i=0; while [ $i -lt ${LINES} ]; do echo $i; i=$((i+1)); echo $i >&2; i=$((i+1)); sleep 0.05; done; exit 7`;

t.setTimeout(300_000);

t.test("containers that talk while the daemon is killed lose no line and no exit code", async (t) => {
  await using cleanup = new Cleanup();
  const folder = await mkdtemp(join(tmpdir(), "lazuli-logs-"));
  cleanup.add(() => rm(folder, { recursive: true, force: true }));
  const registry = await oddRegistry(cleanup);
  let daemon = await startDaemon({ folder });
  cleanup.add(() => daemon.stop());
  const lazuli = async (...words: readonly string[]) =>
    await command(
      join(projectRoot, "bin", "lazuli"),
      [words[0]!, "--address", daemon.address, "--namespace", NAMESPACE, ...words.slice(1)],
      { allow: anyCode },
    );
  const names = ["one", "two", "three"];
  cleanup.add(async () => {
    await lazuli("rm", "-f", ...names);
  });
  for (const name of names) {
    const { code, stderr } = await lazuli(
      "run",
      "-d",
      "--name",
      name,
      `${registry.host}/odd:org`,
      "/bin/sh",
      "-c",
      talk,
    );
    t.equal(code, 0, stderr);
  }
  const isRunning = async (): Promise<boolean> => (await lazuli("ps", "--json")).stdout.includes('"running"');
  for (let kill = 0; kill < KILLS && (await isRunning()); kill += 1) {
    process.kill(daemon.pid, "SIGKILL");
    // Nobody is there for a while.
    await delay(500);
    daemon = await startDaemon({ folder });
  }
  while (await isRunning()) await delay(100);
  const all = Array.from({ length: LINES }, (_, line) => String(line)).join("\n");
  for (const name of names) {
    const { stdout, stderr } = await lazuli("logs", name);
    const said = `${stdout}${stderr}`.trim().split("\n");
    t.equal(
      said
        .map(Number)
        .sort((left, right) => left - right)
        .join("\n"),
      all,
      `all that ${name} said`,
    );
    t.match((await lazuli("ps", "-a")).stdout, new RegExp(`^${name} .*exited \\(7\\)`, "m"));
  }
});
