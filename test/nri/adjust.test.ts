import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import t from "tap";
import {
  IOPrioClass,
  LinuxSchedulerFlag,
  LinuxSchedulerPolicy,
  MpolFlag,
  MpolMode,
} from "../../gen/nri/pkg/api/v1alpha1/api_pb.js";
import type { RuntimeSpec } from "../../src/cdi/index.js";
import { nriRig } from "./rig.js";

function spec(): RuntimeSpec & Record<string, unknown> {
  return {
    ociVersion: "1.1.0",
    process: {
      args: ["sleep", "1"],
      env: ["PATH=/bin", "OLD=1", "GONE=1"],
      rlimits: [{ type: "RLIMIT_NOFILE", hard: 2 ** 64, soft: 1024 }],
      user: { uid: 7, gid: 8, additionalGids: [9] },
    },
    mounts: [
      { destination: "/proc", type: "proc", source: "proc" },
      { destination: "/gone", type: "tmpfs", source: "tmpfs" },
    ],
    annotations: { kept: "1", gone: "1" },
    linux: {
      namespaces: [{ type: "pid" }, { type: "network", path: "/run/netns/x" }],
      devices: [{ path: "/dev/gone", type: "c", major: 1, minor: 3 }],
      resources: { memory: { limit: 1000, reservation: 10 }, cpu: { shares: 2 } },
      sysctl: { "net.gone": "1", "net.kept": "1" },
      maskedPaths: ["/proc/kcore"],
    },
  } as RuntimeSpec & Record<string, unknown>;
}

t.test("createContainer() leaves the spec as it is without plugins", async (t) => {
  const { nri } = await nriRig(t);
  const given = spec();
  const {
    spec: after,
    updates,
    evictions,
  } = await nri.createContainer({ container: { id: "c", spec: given } });
  t.equal(after, given);
  t.same([updates, evictions], [[], []]);
});

t.test("createContainer() makes every kind of adjustment", async (t) => {
  const { nri, plugin, folder } = await nriRig(t);
  await writeFile(
    join(folder, "cdi", "v.json"),
    JSON.stringify({
      cdiVersion: "0.5.0",
      kind: "vendor.com/gpu",
      devices: [{ name: "0", containerEdits: { env: ["GPU=0"] } }],
    }),
  );
  await plugin("10-all", {
    createContainer: async () => ({
      adjust: {
        annotations: { added: "2", "-gone": "" },
        mounts: [
          { destination: "-/gone" },
          { destination: "/a/b", type: "bind", source: "/src", options: ["bind", "rslave"] },
          { destination: "/a", type: "tmpfs", source: "tmpfs" },
        ],
        env: [{ key: "OLD", value: "2" }, { key: "-GONE" }, { key: "NEW", value: "a=b" }],
        args: ["true"],
        hooks: { createRuntime: [{ path: "/hook", args: ["h"], env: ["A=1"], timeout: { value: 3n } }] },
        rlimits: [{ type: "RLIMIT_NOFILE", hard: 2n ** 64n - 1n, soft: 5n }],
        CDIDevices: [{ name: "vendor.com/gpu=0" }],
        linux: {
          devices: [
            { path: "-/dev/gone" },
            {
              path: "/dev/new",
              type: "b",
              major: 8n,
              minor: 1n,
              fileMode: { value: 0o600 },
              uid: { value: 1 },
            },
          ],
          resources: {
            memory: { limit: { value: 5000n }, swappiness: { value: 3n } },
            cpu: { quota: { value: -1n }, cpus: "0-1" },
            hugepageLimits: [{ pageSize: "2MB", limit: 4n }],
            unified: { "memory.high": "1" },
            pids: { limit: 99n },
            rdtClass: { value: "gold" },
          },
          cgroupsPath: "/x/y",
          oomScoreAdj: { value: 500n },
          ioPriority: { class: IOPrioClass.IOPRIO_CLASS_BE, priority: 4 },
          seccompPolicy: {
            defaultAction: "SCMP_ACT_ERRNO",
            defaultErrno: { value: 1 },
            architectures: ["SCMP_ARCH_X86_64"],
            syscalls: [
              {
                names: ["read"],
                action: "SCMP_ACT_ALLOW",
                args: [{ index: 0, value: 2n, op: "SCMP_CMP_EQ" }],
              },
            ],
          },
          namespaces: [{ type: "-network" }, { type: "uts", path: "/run/uts" }],
          sysctl: { "-net.gone": "", "net.new": "3" },
          netDevices: { eth1: { name: "eth0" } },
          scheduler: {
            policy: LinuxSchedulerPolicy.SCHED_BATCH,
            nice: 5,
            flags: [LinuxSchedulerFlag.SCHED_FLAG_RESET_ON_FORK],
          },
          memoryPolicy: { mode: MpolMode.MPOL_BIND, nodes: "0", flags: [MpolFlag.MPOL_F_STATIC_NODES] },
        },
      },
    }),
  });
  const given = spec();
  const { spec: after } = await nri.createContainer({ container: { id: "c", spec: given } });
  t.same(given, spec(), "the spec that was given stays as it is");
  t.same(after.annotations, { kept: "1", added: "2" });
  t.same(after.mounts, [
    { destination: "/proc", type: "proc", source: "proc" },
    { destination: "/a", type: "tmpfs", source: "tmpfs" },
    { destination: "/a/b", type: "bind", source: "/src", options: ["bind", "rslave"] },
  ]);
  t.same(after.process, {
    args: ["true"],
    env: ["PATH=/bin", "OLD=2", "NEW=a=b", "GPU=0"],
    rlimits: [{ type: "RLIMIT_NOFILE", hard: 2 ** 64 - 2 ** 11, soft: 5 }],
    user: { uid: 7, gid: 8, additionalGids: [9] },
    oomScoreAdj: 500,
    ioPriority: { class: "IOPRIO_CLASS_BE", priority: 4 },
    scheduler: {
      policy: "SCHED_BATCH",
      nice: 5,
      priority: 0,
      flags: ["SCHED_FLAG_RESET_ON_FORK"],
      runtime: 0,
      deadline: 0,
      period: 0,
    },
  });
  t.same(after.hooks, { createRuntime: [{ path: "/hook", args: ["h"], env: ["A=1"], timeout: 3 }] });
  t.same(after.linux, {
    namespaces: [{ type: "pid" }, { type: "uts", path: "/run/uts" }],
    devices: [{ path: "/dev/new", type: "b", major: 8, minor: 1, fileMode: 0o600, uid: 1 }],
    resources: {
      memory: { limit: 5000, reservation: 10, swap: 5000, swappiness: 3 },
      cpu: { shares: 2, quota: -1, cpus: "0-1" },
      hugepageLimits: [{ pageSize: "2MB", limit: 4 }],
      unified: { "memory.high": "1" },
      pids: { limit: 99 },
      devices: [{ allow: true, type: "b", major: 8, minor: 1, access: "rwm" }],
    },
    sysctl: { "net.kept": "1", "net.new": "3" },
    maskedPaths: ["/proc/kcore"],
    cgroupsPath: "/x/y",
    rootfsPropagation: "rslave",
    seccomp: {
      defaultAction: "SCMP_ACT_ERRNO",
      defaultErrnoRet: 1,
      architectures: ["SCMP_ARCH_X86_64"],
      syscalls: [
        { names: ["read"], action: "SCMP_ACT_ALLOW", args: [{ index: 0, value: 2, op: "SCMP_CMP_EQ" }] },
      ],
    },
    netDevices: { eth1: { name: "eth0" } },
    memoryPolicy: { mode: "MPOL_BIND", nodes: "0", flags: ["MPOL_F_STATIC_NODES"] },
    intelRdt: { closID: "gold" },
  });
  t.equal(after.ociVersion, "1.1.0", "what plugins do not know stays");
});

t.test("createContainer() asks plugins by index, and each sees the work of those before it", async (t) => {
  const { nri, plugin } = await nriRig(t);
  const seen: string[] = [];
  await plugin("20-second", {
    createContainer: async ({ container, pod }) => {
      seen.push(`second ${container?.env.join(" ")} ${container?.mounts.length} ${pod?.name}`);
      return {
        adjust: { env: [{ key: "B", value: "2" }, { key: "-OLD" }, { key: "OLD", value: "second" }] },
      };
    },
  });
  await plugin("10-first", {
    createContainer: async ({ container }) => {
      seen.push(`first ${container?.env.join(" ")}`);
      t.match(container, {
        id: "c",
        podSandboxId: "p",
        args: ["sleep", "1"],
        user: { uid: 7, gid: 8, additionalGids: [9] },
        rlimits: [{ type: "RLIMIT_NOFILE", hard: 2n ** 64n - 1n, soft: 1024n }],
        linux: { resources: { memory: { limit: { value: 1000n } } }, namespaces: [{ type: "pid" }, {}] },
      });
      return {
        adjust: {
          env: [
            { key: "A", value: "1" },
            { key: "OLD", value: "first" },
          ],
          mounts: [{ destination: "/m" }],
        },
      };
    },
  });
  t.same(nri.plugins, ["10-first", "20-second"]);
  const { spec: after } = await nri.createContainer({
    pod: { id: "p", name: "pod" },
    container: { id: "c", podId: "p", spec: spec() },
  });
  t.same(seen, ["first PATH=/bin OLD=1 GONE=1", "second PATH=/bin GONE=1 A=1 OLD=first 3 pod"]);
  t.same(after.process?.env, ["PATH=/bin", "GONE=1", "A=1", "B=2", "OLD=second"]);
});

t.test("createContainer() fails when two plugins set the same", async (t) => {
  const { nri, plugin } = await nriRig(t);
  let adjust: object = {};
  await plugin("10-a", { createContainer: async () => ({ adjust }) });
  await plugin("20-b", { createContainer: async () => ({ adjust }) });
  const conflicts: Record<string, object> = {
    "Env X": { env: [{ key: "X", value: "1" }] },
    "Mounts /m": { mounts: [{ destination: "/m" }] },
    "Annotations x": { annotations: { x: "1" } },
    Args: { args: ["x"] },
    "Rlimits R": { rlimits: [{ type: "R" }] },
    "CdiDevices a/b=c": { CDIDevices: [{ name: "a/b=c" }] },
    "Devices /d": { linux: { devices: [{ path: "/d" }] } },
    MemLimit: { linux: { resources: { memory: { limit: { value: 1n } } } } },
    CPUSetCPUs: { linux: { resources: { cpu: { cpus: "1" } } } },
    "HugepageLimits 2M": { linux: { resources: { hugepageLimits: [{ pageSize: "2M" }] } } },
    "CgroupsUnified k": { linux: { resources: { unified: { k: "1" } } } },
    PidsLimit: { linux: { resources: { pids: { limit: 1n } } } },
    CgroupsPath: { linux: { cgroupsPath: "/x" } },
    OomScoreAdj: { linux: { oomScoreAdj: { value: 1n } } },
    "Namespace pid": { linux: { namespaces: [{ type: "-pid" }] } },
    "Sysctl s": { linux: { sysctl: { s: "1" } } },
    "LinuxNetDevices e": { linux: { netDevices: { e: {} } } },
    RdtClosID: { linux: { rdt: { closId: { value: "x" } } } },
    SeccompPolicy: { linux: { seccompPolicy: {} } },
    MemoryPolicy: { linux: { memoryPolicy: {} } },
  };
  for (const [what, wanted] of Object.entries(conflicts)) {
    adjust = wanted;
    await t.rejects(nri.createContainer({ container: { id: "c", spec: spec() } }), {
      code: "FAILED_PRECONDITION",
      reason: "nri-conflict",
      message: `plugins "20-b" and "10-a" both tried to set ${what}`,
    });
  }
  adjust = { hooks: { poststop: [{ path: "/h" }] }, linux: { resources: { devices: [{ allow: true }] } } };
  const { spec: after } = await nri.createContainer({ container: { id: "c", spec: spec() } });
  t.equal(after.hooks?.poststop?.length, 2, "hooks add up");
  adjust = { args: ["", "x"], linux: { rdt: { remove: true, closId: { value: "y" } } } };
  const replaced = await nri.createContainer({ container: { id: "c", spec: spec() } });
  t.same(replaced.spec.process?.args, ["x"], "what is taken away first may be set again");
  t.same(replaced.spec.linux?.intelRdt, { closID: "y" });
});

t.test("createContainer() survives odd names and refuses specs that are none", async (t) => {
  const { nri, plugin } = await nriRig(t);
  await plugin("10-odd", {
    createContainer: async () => ({
      adjust: {
        annotations: Object.fromEntries([
          ["__proto__", "1"],
          ["-", "x"],
          ["", "y"],
          ["-constructor", ""],
        ]),
        env: [{ key: "__proto__", value: "1" }, { key: "" }, { key: "-" }],
        linux: { sysctl: Object.fromEntries([["__proto__", "1"]]), namespaces: [{ type: "" }] },
      },
    }),
  });
  const { spec: after } = await nri.createContainer({
    container: { id: "__proto__", spec: {} as RuntimeSpec },
  });
  t.same(after.process?.env, ["__proto__=1", "="]);
  t.equal(Object.getPrototypeOf(after.annotations), Object.prototype, "no name reaches the prototype");
  const broken: object[] = [
    { process: { args: "text" } },
    { process: { env: [1] } },
    { process: { user: { uid: -1 } } },
    { mounts: { length: 2 } },
    { mounts: [null] },
    { linux: { resources: { memory: { limit: "much" } } } },
    { linux: { devices: [{ path: 3 }] } },
    { annotations: { a: 1 } },
    { process: { args: ["\ud800"] } },
  ];
  for (const given of broken) {
    await t.rejects(
      nri.createContainer({ container: { id: "c", spec: given } }),
      { code: "INVALID_ARGUMENT", reason: "nri-spec-invalid" },
      JSON.stringify(given),
    );
  }
});

t.test("createContainer() fails for a CDI device that no folder has", async (t) => {
  const { nri, plugin } = await nriRig(t);
  await plugin("10-cdi", {
    createContainer: async () => ({ adjust: { CDIDevices: [{ name: "v.com/d=1" }] } }),
  });
  await t.rejects(nri.createContainer({ container: { id: "c", spec: {} } }), {
    code: "NOT_FOUND",
    reason: "cdi-device-unresolvable",
  });
});
