import { execFile } from "node:child_process";
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import t from "tap";
import { parseRuntimeJson, type RuntimeSpec, runtimeJson } from "../../src/cdi/index.js";
import { nriRig } from "./rig.js";

const run = promisify(execFile);

const script = `
echo "env $FROM_PLUGIN $FROM_CDI gone=$GONE"
echo "files $(ulimit -n) cores $(ulimit -c)"
echo "oom $(cat /proc/self/oom_score_adj)"
echo "sysctl $(cat /proc/sys/net/ipv4/ip_default_ttl)"
echo "mount $(grep -c ' /scratch tmpfs' /proc/mounts)"
echo "device $(stat -c '%F %t:%T %a' /dev/vendor0)"
echo "node $(dd if=/dev/other bs=4 count=1 2>/dev/null | od -An -tx1)"
echo "seccomp $(grep Seccomp: /proc/self/status | tr -d '\\t')"
echo "io $(chmod 700 /scratch 2>&1)"
`;

t.test("runc takes a spec with the adjustments of a plugin and with CDI devices", async (t) => {
  const { nri, plugin, folder } = await nriRig(t);
  await writeFile(
    join(folder, "cdi", "vendor.json"),
    JSON.stringify({
      cdiVersion: "0.6.0",
      kind: "vendor.com/device",
      devices: [
        {
          name: "0",
          containerEdits: {
            env: ["FROM_CDI=2"],
            deviceNodes: [{ path: "/dev/vendor0", hostPath: "/dev/zero", fileMode: 0o640 }],
          },
        },
      ],
    }),
  );
  await plugin("10-all", {
    createContainer: async () => ({
      adjust: {
        env: [{ key: "FROM_PLUGIN", value: "1" }, { key: "-GONE" }],
        annotations: { "a.b/c": "d" },
        mounts: [{ destination: "/scratch", type: "tmpfs", source: "tmpfs", options: ["rw", "mode=755"] }],
        rlimits: [
          { type: "RLIMIT_NOFILE", hard: 77n, soft: 77n },
          { type: "RLIMIT_CORE", hard: 0n, soft: 0n },
        ],
        CDIDevices: [{ name: "vendor.com/device=0" }],
        linux: {
          oomScoreAdj: { value: 700n },
          devices: [{ path: "/dev/other", type: "c", major: 1n, minor: 5n, fileMode: { value: 0o666 } }],
          sysctl: { "net.ipv4.ip_default_ttl": "42" },
          seccompPolicy: {
            defaultAction: "SCMP_ACT_ALLOW",
            architectures: ["SCMP_ARCH_X86_64"],
            syscalls: [
              { names: ["chmod", "fchmodat"], action: "SCMP_ACT_ERRNO", errnoRet: { value: 95 }, args: [] },
              {
                names: ["personality"],
                action: "SCMP_ACT_ERRNO",
                args: [{ index: 0, value: 2n ** 64n - 1n, op: "SCMP_CMP_EQ" }],
              },
            ],
          },
        },
      },
    }),
  });
  const bundle = await mkdtemp(join(tmpdir(), "lazuli-nri-runc-"));
  t.teardown(() => rm(bundle, { recursive: true, force: true }));
  for (const name of ["bin", "scratch", "proc", "dev", "sys"])
    await mkdir(join(bundle, "rootfs", name), { recursive: true });
  await copyFile("/bin/busybox", join(bundle, "rootfs/bin/busybox"));
  await run("runc", ["spec"], { cwd: bundle });
  const base = parseRuntimeJson(await readFile(join(bundle, "config.json"))) as RuntimeSpec & {
    process: { terminal?: boolean };
  };
  base.process.terminal = false;
  base.process.args = ["/bin/busybox", "sh", "-c", `/bin/busybox --install /bin; PATH=/bin; ${script}`];
  base.process.env = ["PATH=/bin", "GONE=1"];
  Object.assign(base, { root: { path: "rootfs" } });
  const id = `lazuli-nri-${process.pid}`;
  const { spec } = await nri.createContainer({ container: { id, spec: base } });
  await writeFile(join(bundle, "config.json"), runtimeJson(spec));
  const root = join(bundle, "state");
  t.teardown(() => run("runc", ["--root", root, "delete", "--force", id]).catch(() => undefined));
  const { stdout } = await run("runc", ["--root", root, "run", "--bundle", bundle, id]);
  t.same(stdout.trim().split("\n"), [
    "env 1 2 gone=",
    "files 77 cores 0",
    "oom 700",
    "sysctl 42",
    "mount 1",
    "device character special file 1:5 640",
    "node  00 00 00 00",
    "seccomp Seccomp:2",
    "io chmod: /scratch: Operation not supported",
  ]);
});
