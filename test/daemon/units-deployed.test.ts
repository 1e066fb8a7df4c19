import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import t from "tap";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { command } from "../../testing/rig/command.js";
import { unmountBelow } from "../../testing/rig/containerd.js";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const units = ["deploy/lazuli-daemon.service", "deploy/lazuli-snapshotter.service"];

t.test("the units keep containers alive over a restart", async (t) => {
  for (const unit of units) {
    const text = await readFile(join(root, unit), "utf8");
    const wanted = ["Type=notify", "KillMode=process", "LimitNOFILE=1048576", "TasksMax=infinity"];
    for (const line of [...wanted, "OOMScoreAdjust=-999", "RuntimeDirectoryPreserve=yes"]) {
      t.ok(text.split("\n").includes(line), `${unit} has ${line}`);
    }
    t.notMatch(text, /^(ProtectSystem|PrivateTmp|PrivateMounts|ReadWritePaths)=/m, "layers are seen by runc");
  }
  t.match(await readFile(join(root, units[0]!), "utf8"), /^Delegate=yes$/m);
});

t.test("the daemon's unit leaves out what its containers would inherit", async (t) => {
  const inherited =
    /^(CapabilityBoundingSet|NoNewPrivileges|SystemCall\w+|Restrict\w+|LockPersonality|MemoryDenyWriteExecute)=/m;
  t.notMatch(await readFile(join(root, units[0]!), "utf8"), inherited);
  t.match(await readFile(join(root, units[1]!), "utf8"), inherited, "the snapshotter starts no container");
});

t.test("no unit has what needs a mount namespace of its own", async (t) => {
  const needing =
    /^(Protect(Home|System|KernelTunables|KernelModules|KernelLogs|ControlGroups|Clock|Proc)|PrivateDevices|PrivateTmp|PrivateMounts|MountFlags|Bind\w+|\w+Paths|DynamicUser|RootDirectory)=/m;
  for (const unit of units) t.notMatch(await readFile(join(root, unit), "utf8"), needing, unit);
});

t.test("systemd-analyze finds nothing wrong in the units", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-units-"));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  for (const unit of units) {
    const file = join(folder, unit.slice("deploy/".length));
    const text = await readFile(join(root, unit), "utf8");
    await writeFile(file, text.replace("/usr/local/bin/lazuli", join(root, "bin/lazuli")));
    const { code, stderr } = await command("systemd-analyze", ["verify", "--man=no", file], { allow: [1] });
    const own = stderr.split("\n").filter((line) => line.includes(folder));
    t.strictSame({ code, own }, { code: 0, own: [] }, stderr);
  }
});

t.test("lazuli daemon tells systemd that it is ready, as its unit starts it", async (t) => {
  await using cleanup = new Cleanup();
  const folder = await mkdtemp(join(tmpdir(), "lazuli-units-"));
  cleanup.add(() => rm(folder, { recursive: true, force: true }));
  cleanup.add(() => unmountBelow(folder));
  const config = join(folder, "config.toml");
  const places = `root = "${folder}/root"\nstate = "${folder}/state"\n`;
  await writeFile(config, `${places}[daemon]\naddress = "${folder}/d.sock"\n`);
  const { stdout } = await command("bash", [join(root, "scripts/start-unit.sh"), units[0]!, config], {
    cwd: root,
    env: { LAZULI_PROGRAM: join(root, "bin/lazuli") },
  });
  t.match(stdout, /^READY=1\nSTATUS=Serving on .*d\.sock/);
  t.match(stdout, /STOPPING=1/);
});
