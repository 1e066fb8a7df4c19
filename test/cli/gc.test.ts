import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { sha256 } from "../../src/bytes/index.js";
import { runCli } from "../../src/cli/run-cli.js";
import { command } from "../../testing/rig/command.js";
import { startDaemon } from "../../testing/rig/daemon.js";

/** No collection runs by itself while the test looks at what one would do. */
const RARELY =
  '[gc]\npause_threshold = 0.0001\ndeletion_threshold = 100000\nmutation_threshold = 0\nstartup_delay = "1h"\n';

t.test("lazuli gc says what would go and why something stays, and then removes it", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-gc-"));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const daemon = await startDaemon({ folder, config: RARELY });
  t.teardown(() => daemon.stop());
  const ctr = async (...words: string[]) =>
    await command("ctr", ["--address", daemon.address, "--namespace", "own", ...words]);
  const run = async (...words: string[]) => {
    let [stdout, stderr] = ["", ""];
    const code = await runCli({
      arguments: ["gc", "--config", daemon.configFile, ...words],
      environment: {},
      stdout: (text) => {
        stdout += text;
      },
      stderr: (text) => {
        stderr += text;
      },
    });
    return { code, stdout, stderr };
  };
  const ingest = async (name: string): Promise<string> => {
    await writeFile(join(folder, name), name);
    await command("sh", [
      "-c",
      `ctr --address "$1" --namespace own content ingest "$2" < "$3"`,
      "sh",
      daemon.address,
      name,
      join(folder, name),
    ]);
    return sha256(Buffer.from(name));
  };
  const kept = await ingest("kept");
  const child = await ingest("child");
  const loose = await ingest("loose");
  await ctr("content", "label", kept, "containerd.io/gc.root=now", `containerd.io/gc.ref.content.0=${child}`);
  for (const digest of [kept, child, loose]) await ctr("content", "label", digest, "seen=yes");

  const plan = await run("--dry-run", "--json");
  t.equal(plan.code, 0, plan.stderr);
  const { removed, unreachable } = JSON.parse(plan.stdout);
  t.same(removed, { content: 1 });
  t.match(unreachable, [{ type: "content", namespace: "own", key: loose }]);
  t.match((await run("--dry-run")).stdout, new RegExp(`would remove: 1 content\\n[^]*${loose}`));

  const why = await run("--why", child);
  t.match(
    why.stdout,
    new RegExp(`root \\(.*gc\\.root.*\\) content ${kept} in own\\n.*keeps \\(.*gc\\.ref\\.content\\.0.*\\)`),
  );
  t.match((await run("--why", loose)).stdout, /nothing keeps it/);
  t.match(await run("--why", sha256(Buffer.from("never"))), { code: 5, stdout: "", stderr: /hint|not/ });
  t.match(await run("--why", loose, "--dry-run"), { code: 2, stderr: /want --dry-run or --why, got both/ });

  t.match((await run()).stdout, /removed: 1 content\nfreed:/);
  const { stdout } = await ctr("content", "ls", "-q");
  t.same(stdout.trim().split("\n").sort(), [kept, child].sort());
  t.match(await run("--daemon-address", join(folder, "none.sock")), { stdout: "", stderr: /none\.sock/ });
});
