import { spawn } from "node:child_process";
import { join } from "node:path";
import t from "tap";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { type CommandResult, command } from "../../testing/rig/command.js";
import { startContainerd } from "../../testing/rig/containerd.js";
import { projectRoot } from "../../testing/rig/lab.js";
import { boxArchive, boxImage, temporaryFolder } from "./client-rig.js";

t.setTimeout(180_000);

const program = join(projectRoot, "bin", "lazuli");
const anyCode = Array.from({ length: 256 }, (_, code) => code);

t.test("the commands for people run containers on Debian's containerd", async (t) => {
  await using cleanup = new Cleanup();
  const folder = await temporaryFolder(cleanup);
  const archive = await boxArchive(folder);
  const containerd = await startContainerd({ folder: join(folder, "server") });
  cleanup.add(() => containerd.stop());
  const env = {
    CONTAINERD_ADDRESS: containerd.address,
    CONTAINERD_NAMESPACE: `people-${process.pid}`,
    LAZULI_LOGS: join(folder, "logs"),
  };
  const lazuli = async (...words: string[]): Promise<CommandResult> =>
    await command(program, words, { env, allow: anyCode });

  t.match(await lazuli("load", archive), { code: 0, stdout: new RegExp(`^${boxImage}: sha256:`) });
  t.match(await lazuli("images"), { code: 0, stdout: /client\.test\/box:1 +sha256:/ });
  const script = "id -u; pwd; echo $A; echo no >&2; exit 5";
  const ran = await lazuli(
    "run",
    "--rm",
    "-e",
    "A=1",
    "-u",
    "app",
    "-w",
    "/tmp",
    boxImage,
    "sh",
    "-c",
    script,
  );
  t.match(ran, { code: 5, stdout: "1000\n/tmp\n1\n", stderr: "no\n" });
  t.match(await lazuli("run", "--rm", boxImage, "none-such"), { code: 127, stderr: /none-such/ });
  t.match(await lazuli("run", "--rm", "-u", "who", boxImage, "id"), { code: 5, stderr: /no "who"/ });
  t.match(await lazuli("run", "-p", "80:80", boxImage), { code: 2, stderr: /--network host/ });
  t.match(await lazuli("run", "-d", "--rm", boxImage), { code: 2, stderr: /nobody waits/ });
  t.match(await lazuli("run", "--pull", "never", "none:1"), { code: 5, stderr: /lazuli pull/ });
  t.match(await lazuli("ps", "-q", "--all"), { code: 0, stdout: "" }, "those that failed left nothing");

  t.match(await lazuli("run", "-d", "--name", "web", boxImage, "sh", "-c", "echo up; exec sleep 1000"), {
    code: 0,
    stdout: "web\n",
  });
  t.match(await lazuli("ps"), { code: 0, stdout: /web +client\.test\/box:1 +sh -c echo up/ });
  t.match(await lazuli("exec", "-e", "B=2", "web", "sh", "-c", "echo $B; exit 9"), {
    code: 9,
    stdout: "2\n",
  });
  t.match(await lazuli("exec", "web", "none-such"), { code: 127 });
  t.match(await lazuli("rm", "web"), { code: 9, stderr: /lazuli stop/ });
  t.match(await lazuli("stop", "--time", "0", "web"), { code: 0, stdout: "web\n" });
  t.match(await lazuli("logs", "-f", "web"), { code: 0, stdout: "up\n" });
  t.match(await lazuli("ps", "--all"), { stdout: /exited \(1\d\d\)/ });
  t.equal(JSON.parse((await lazuli("inspect", "web")).stdout).spec.process.args[0], "sh");
  t.match(await lazuli("rm", "web"), { code: 0, stdout: "web\n" });

  const piped = spawn(program, ["run", "--rm", "-i", boxImage, "cat"], { env: { ...process.env, ...env } });
  let text = "";
  piped.stdout.on("data", (chunk: Buffer) => {
    text += chunk.toString();
  });
  const closed = new Promise<number | null>((resolve) => piped.on("close", resolve));
  piped.stdin.end("through\n");
  t.equal(await closed, 0);
  t.equal(text, "through\n", "input that ends reaches the process, and its end as well");

  const line = `${program} run --rm -it ${boxImage} sh -c 'tty; exit 3'`;
  const terminal = await command("script", ["-qefc", line, join(folder, "typescript")], { env, allow: [3] });
  t.match(terminal, { code: 3, stdout: /\/dev\/pts\/0/ });

  t.match(await lazuli("tag", boxImage, "client.test/other:1"), { code: 0 });
  t.match(await lazuli("save", "-o", join(folder, "saved.tar"), "client.test/other:1"), { code: 0 });
  t.match(await lazuli("rmi", "--sync", boxImage, "client.test/other:1"), { code: 0 });
  t.match(await lazuli("images", "--json"), { code: 0, stdout: "[]\n" });
  t.match(await lazuli("ps", "--address", join(folder, "none.sock")), {
    code: 14,
    stderr: /hint: .*--address/,
  });
});
