import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { delay } from "../../src/async/index.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { command } from "../../testing/rig/command.js";
import { runInContainer } from "../../testing/rig/container.js";
import { startContainerd, unmountBelow } from "../../testing/rig/containerd.js";
import { type Lab, oddRegistry, projectRoot } from "../../testing/rig/lab.js";
import { oddImageDigests } from "../../testing/rig/odd-image.js";
import { type Service, startService } from "../../testing/rig/service.js";

t.setTimeout(400_000);

/** Values of the keys of the snapshotter's unit. */
async function unitValues(): Promise<(key: string) => string[]> {
  const text = await readFile(join(projectRoot, "deploy/lazuli-snapshotter.service"), "utf8");
  return (key) => new RegExp(`^${key}=(.*)$`, "m").exec(text)?.[1]?.split(" ") ?? [];
}

/** System calls of a filter, with those of its groups, which lie in one another. */
async function allowedCalls(words: readonly string[]): Promise<Set<string>> {
  const allowed = new Set<string>();
  const seen = new Set<string>();
  const open = [...words];
  for (let word = open.pop(); word !== undefined; word = open.pop()) {
    if (!word.startsWith("@")) allowed.add(word);
    else if (!seen.has(word)) {
      seen.add(word);
      const { stdout } = await command("systemd-analyze", ["--no-pager", "syscall-filter", word]);
      const lines = stdout
        .split("\n")
        .slice(1)
        .map((line) => line.trim());
      open.push(...lines.filter((line) => line !== "" && !line.startsWith("#")));
    }
  }
  return allowed;
}

/** strace lets no signal but SIGKILL end it before all that it traces has ended, and the keeper goes on. */
async function stop(service: Service): Promise<void> {
  const children = await readFile(`/proc/${service.pid}/task/${service.pid}/children`, "utf8").catch(
    () => "",
  );
  for (const pid of children.trim().split(" ").filter(Boolean).map(Number)) {
    process.kill(pid, "SIGTERM");
    while (existsSync(`/proc/${pid}`)) await delay(50);
  }
  await service.stop("SIGKILL");
}

t.test("the snapshotter works with the capabilities and system calls that its unit leaves it", async (t) => {
  await using cleanup = new Cleanup();
  const registry = await oddRegistry(cleanup);
  const folder = await mkdtemp(join(tmpdir(), "lazuli-least-"));
  cleanup.add(() => rm(folder, { recursive: true, force: true }));
  cleanup.add(() => unmountBelow(folder));
  const valuesOf = await unitValues();
  const bounding = valuesOf("CapabilityBoundingSet").map(
    (name) => `+${name.replace(/^CAP_/, "").toLowerCase()}`,
  );
  t.ok(bounding.length > 5 && bounding.length < 15, "a bounding set is there");
  t.same(valuesOf("NoNewPrivileges"), ["yes"]);
  const socket = join(folder, "lazuli.sock");
  const root = join(folder, "root");
  const config = join(folder, "config.toml");
  const containerdFolder = join(folder, "containerd");
  const address = join(containerdFolder, "containerd.sock");
  await writeFile(
    config,
    `root = "${root}"\nstate = "${join(folder, "state")}"\n[snapshotter]\naddress = "${socket}"\n[containerd]\naddress = "${address}"\n`,
  );
  const calls = join(folder, "calls");
  const traced = ["strace", "-ff", "-qq", "-e", "signal=none", "-o", calls];
  const privileges = [`--bounding-set=-all,${bounding.join()}`, "--no-new-privs"];
  const lazuli = [join(projectRoot, "bin/lazuli"), "snapshotter", "--config", config];
  const service = await startService({
    program: "setpriv",
    args: [...privileges, ...traced, ...lazuli],
    logFile: join(folder, "log"),
    ready: socket,
  });
  cleanup.add(() => stop(service));
  const containerd = await startContainerd({
    folder: containerdFolder,
    snapshotter: { name: "lazuli", socket, root },
  });
  cleanup.add(() => containerd.stop());
  const lab = { containerd } as Lab;
  const layerMounts = async (): Promise<string[]> => {
    const mounts = (await readFile("/proc/self/mountinfo", "utf8")).split("\n");
    return mounts.filter((line) => line.includes(folder) && / - (erofs|fuse\S*) /.test(line));
  };
  const digests = oddImageDigests();
  for (const tag of ["esgz", "org"]) {
    const image = `${registry.host}/odd:${tag}`;
    await containerd.ctrRemote(["images", "rpull", "--plain-http", "--snapshotter", "lazuli", image]);
    const read = await runInContainer(
      lab,
      image,
      "sha256sum /data/large; touch /new; chown 5:5 /new; rm /new",
    );
    t.match(read, { code: 0, stdout: `${digests.large}  /data/large\n`, stderr: "" }, tag);
    const mounts = await layerMounts();
    t.ok(mounts.length > 0, "layers are mounted");
    t.same(
      mounts.filter((line) => !/ ro,(\S*,)?nodev/.test(line)),
      [],
      "read-only, without devices",
    );
    const open = mounts.filter((line) => line.includes("fuse") && !line.includes("default_permissions"));
    t.same(open, [], "the kernel checks permissions");
    await containerd.ctr(["images", "rm", "--sync", image]);
  }
  const { stdout: status } = await command("grep", ["-h", "CapBnd", `/proc/${service.pid}/status`]);
  t.notMatch(status, "1ffffffffff", "the set is bounded");
  await stop(service);
  const used = new Set<string>();
  for (const name of await readdir(folder)) {
    if (!name.startsWith("calls.")) continue;
    for (const [, call] of (await readFile(join(folder, name), "latin1")).matchAll(/^([a-z_0-9]+)\(/gm))
      used.add(call!);
  }
  t.ok(used.has("mount") || used.has("move_mount"), `a session was seen: ${used.size} system calls`);
  const allowed = await allowedCalls(valuesOf("SystemCallFilter"));
  t.same([...used].filter((call) => !allowed.has(call)).sort(), [], "all of them pass the filter");
});
