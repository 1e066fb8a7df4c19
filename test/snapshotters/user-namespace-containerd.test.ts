import { chmod } from "node:fs/promises";
import { join } from "node:path";
import t from "tap";
import { command } from "../../testing/rig/command.js";
import { oddRegistry, startLab } from "../../testing/rig/lab.js";
import { mountedBelow } from "./user-namespace-rig.js";

const anyCode = Array.from({ length: 256 }, (_, code) => code);
const MAPS = ["--uidmap", "0:100000:65536", "--gidmap", "0:200000:65536", "--remap-labels"];

t.test("containerd 1.6 and runc 1.1 run containers in user namespaces on lazy layers", async (t) => {
  t.setTimeout(120_000);
  await using lab = await startLab();
  // Who is root inside is nobody special outside, and runc looks for the container's folder as that user.
  await chmod(lab.folder, 0o711);
  await chmod(join(lab.folder, "containerd"), 0o711);
  const registry = await oddRegistry(lab.cleanup);
  const image = `${registry.host}/odd:esgz`;
  await lab.containerd.ctrRemote(["images", "rpull", "--plain-http", "--snapshotter", "lazuli", image]);
  const mapped = join(lab.snapshotter.state, "idmapped");
  let count = 0;
  const run = async (line: string, ...words: string[]) => {
    count += 1;
    const args = [
      "run",
      ...words,
      "--snapshotter",
      "lazuli",
      ...MAPS,
      image,
      `box-${count}`,
      "/bin/sh",
      "-ec",
      line,
    ];
    return await lab.containerd.ctr(args, { allow: anyCode });
  };

  const line = [
    "id -u; id -g; stat -c '%u:%g %a %n' / /perms/owned /perms/setuid /tmp",
    "echo new > /data/new; echo more >> /etc/passwd; rm -r /many; stat -c '%u:%g' /data/new /etc/passwd",
    "sha256sum /data/exact",
  ].join("; ");
  const inside = await run(line, "--rm");
  t.equal(inside.code, 0, inside.stderr);
  t.match(inside.stdout.split("\n"), [
    "0",
    "0",
    "0:0 755 /",
    "1000:1001 400 /perms/owned",
    "0:0 4755 /perms/setuid",
    "0:0 1777 /tmp",
    "0:0",
    "0:0",
  ]);

  t.equal((await run("cat /proc/self/uid_map; echo kept > /kept; chown 3:4 /kept")).code, 0);
  const before = await mountedBelow(mapped);
  t.ok(before.length >= 3, "each layer for the container that is kept");
  await lab.restart({ signal: "SIGKILL" });
  t.same(await mountedBelow(mapped), [], "lazy layers are gone with the process, and so is what showed them");
  const shown = await lab.containerd.ctr([
    "snapshots",
    "--snapshotter",
    "lazuli",
    "mounts",
    join(lab.folder, "m"),
    `box-${count}`,
  ]);
  t.match(shown.stdout, /lowerdir=[^ ]*idmapped/);
  await command("mkdir", [join(lab.folder, "m")]);
  await command("bash", ["-ec", shown.stdout]);
  const { stdout } = await command("stat", [
    "-c",
    "%u:%g",
    join(lab.folder, "m/kept"),
    join(lab.folder, "m/data/one-byte"),
  ]);
  t.equal(stdout, "100003:200004\n100000:200000\n");
  await command("umount", [join(lab.folder, "m")]);
  await lab.containerd.ctr(["containers", "rm", `box-${count}`]);
  // Waits for containerd's garbage collection, which takes the container's snapshot along.
  await lab.containerd.ctr(["images", "rm", "--sync", image]);
  t.same(await mountedBelow(mapped), [], "and nothing is left after the last container");
});
