import t from "tap";
import {
  buildSpec,
  capabilitiesOfMask,
  defaultSeccomp,
  parseRunConfig,
  type RuntimeSpec,
  type SpecOption,
  withAddedCapabilities,
  withAnnotations,
  withApparmor,
  withArgs,
  withCapabilities,
  withCgroup,
  withCpus,
  withDevices,
  withDroppedCapabilities,
  withEnv,
  withHostNetwork,
  withHostname,
  withImageConfig,
  withMemoryLimit,
  withMounts,
  withNamespace,
  withNewPrivileges,
  withPidsLimit,
  withPrivileged,
  withReadonlyRootfs,
  withRlimits,
  withSeccomp,
  withSysctls,
  withTty,
  withUser,
  withUserNamespace,
  withWorkingFolder,
} from "../../src/spec/index.js";

function because(reason: string): { name: string; reason: string } {
  return { name: "LazuliError", reason };
}

const accounts = {
  passwd: "# people\nroot:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\nbroken:x:y:z\n",
  group: "root:x:0:\nadm:x:4:other,app\napp:x:1001:\ndisk:x:6:root\n",
};

const config = parseRunConfig(
  Buffer.from(
    JSON.stringify({
      architecture: "amd64",
      config: {
        User: "app",
        Env: ["PATH=/bin", "A=1"],
        Entrypoint: ["/entry"],
        Cmd: ["run"],
        WorkingDir: "/srv",
        StopSignal: "SIGINT",
        Labels: { a: "b" },
        Volumes: { "/data": {} },
      },
    }),
  ),
);

function build(...options: SpecOption[]): RuntimeSpec {
  return buildSpec({
    id: "one",
    namespace: "default",
    architecture: "amd64",
    accounts,
    options: [withArgs(["true"]), ...options],
  });
}

t.test("withImageConfig() takes arguments, environment, folder and user with groups", async (t) => {
  const { process } = build(withImageConfig(config));
  t.same(process.args, ["/entry", "run"]);
  t.same(process.env, ["PATH=/bin", "A=1"], "the default PATH is replaced");
  t.equal(process.cwd, "/srv");
  t.same(process.user, { uid: 1000, gid: 1001, additionalGids: [1001, 4] });
  t.same(build(withImageConfig(config, ["x", "y"])).process.args, ["/entry", "x", "y"]);
  const root = build(withImageConfig({ ...config, user: "" })).process.user;
  t.same(root, { uid: 0, gid: 0, additionalGids: [0, 6] }, "root's groups count also when nobody is named");
  t.same([config.stopSignal, config.labels, config.volumes], ["SIGINT", { a: "b" }, ["/data"]]);
});

t.test("parseRunConfig() refuses what is no config", async (t) => {
  for (const text of ["[]", '{"config":[]}', '{"config":{"Env":"A=1"}}', '{"config":{"Cmd":["a\\u0000"]}}'])
    t.throws(() => parseRunConfig(Buffer.from(text)), because("run-config-invalid"), text);
  t.same(parseRunConfig(Buffer.from('{"config":null}')).command, [], "an image need not have a config");
});

t.test("withUser() finds names and numbers", async (t) => {
  const user = (text: string): unknown => build(withUser(text)).process.user;
  t.same(user("app"), { uid: 1000, gid: 1001, additionalGids: [1001, 4] });
  t.same(user("1000"), { uid: 1000, gid: 1001, additionalGids: [1001, 4] });
  t.same(user("4242"), { uid: 4242, gid: 0, additionalGids: [0] });
  t.same(user("app:adm"), { uid: 1000, gid: 4 });
  t.same(user("7:8"), { uid: 7, gid: 8 });
  t.throws(() => user("nobody"), { code: "NOT_FOUND", reason: "user-unknown", subject: "nobody" });
  t.throws(() => user("app:none"), { code: "NOT_FOUND", reason: "group-unknown" });
  t.throws(() => user("broken"), because("user-unknown"), "a line without ids is none");
  t.throws(() => user("99999999999"), because("user-invalid"));
  for (const text of ["", ":", "a:", "a:b:c"]) t.throws(() => user(text), because("user-invalid"), text);
});

t.test("withEnv() sets, replaces and takes away", async (t) => {
  const env = build(withEnv(["A=1", "B=2"]), withEnv(["A=3", "B"])).process.env;
  t.same(env.slice(1), ["A=3"]);
  t.throws(() => build(withEnv(["=x"])), because("env-invalid"));
});

t.test("options of limits refuse what runc would", async (t) => {
  t.throws(() => withMemoryLimit(1024), because("limit-invalid"));
  t.throws(() => withCpus(0.001), because("limit-invalid"));
  t.throws(() => withCpus(Number.NaN), because("limit-invalid"));
  t.throws(() => withPidsLimit(0), because("limit-invalid"));
  const { resources } = build(withMemoryLimit(64 << 20), withCpus(1.5), withPidsLimit(9)).linux;
  t.same(resources.memory, { limit: 64 << 20 });
  t.same(resources.cpu, { quota: 150_000, period: 100_000 });
  t.same(resources.pids, { limit: 9 });
});

t.test("capabilities are added, dropped and replaced in all three sets", async (t) => {
  const sets = (...options: SpecOption[]) => build(...options).process.capabilities;
  t.ok(sets(withAddedCapabilities(["net_admin"])).effective.includes("CAP_NET_ADMIN"));
  t.notOk(sets(withDroppedCapabilities(["KILL"])).bounding.includes("CAP_KILL"));
  t.same(sets(withCapabilities(["CAP_KILL"])).permitted, ["CAP_KILL"]);
  t.equal(sets().inheritable, undefined);
  t.throws(() => withCapabilities(["FLY"]), because("capability-unknown"));
  t.same(capabilitiesOfMask("21"), ["CAP_CHOWN", "CAP_KILL"]);
});

t.test("options of the file system, names and places change only their part", async (t) => {
  const mount = { destination: "/data", type: "bind", source: "/srv", options: ["rbind", "ro"] };
  t.same(build(withMounts([mount])).mounts.at(-1), mount);
  const run = { ...mount, destination: "/run" };
  t.equal(build(withMounts([run])).mounts.length, build().mounts.length, "the same place is replaced");
  t.throws(() => withMounts([{ ...mount, destination: "data" }]), because("mount-destination-invalid"));
  t.throws(() => withMounts([{ ...mount, destination: "/a/../b" }]), because("mount-destination-invalid"));
  t.throws(() => withWorkingFolder("x"), because("working-folder-invalid"));
  t.throws(() => withHostname(""), because("hostname-invalid"));
  const spec = build(
    withReadonlyRootfs(),
    withHostname("box"),
    withAnnotations({ a: "1" }),
    withCgroup("/x/y"),
    withWorkingFolder("/w"),
    withNewPrivileges(),
    withApparmor("p"),
    withSysctls({ "net.core.somaxconn": "9" }),
    withRlimits([{ type: "RLIMIT_NOFILE", hard: 5, soft: 4 }]),
  );
  t.match(spec, {
    root: { path: "rootfs", readonly: true },
    hostname: "box",
    annotations: { a: "1" },
    process: { cwd: "/w", noNewPrivileges: false, apparmorProfile: "p" },
    linux: { cgroupsPath: "/x/y", sysctl: { "net.core.somaxconn": "9" } },
  });
  t.same(spec.process.rlimits, [{ type: "RLIMIT_NOFILE", hard: 5, soft: 4 }]);
  t.notOk("cgroupsPath" in build(withCgroup("")).linux);
});

t.test("namespaces are left, joined and mapped", async (t) => {
  const types = (spec: RuntimeSpec): string[] => spec.linux.namespaces.map(({ type }) => type);
  const host = build(withHostNetwork());
  t.notOk(types(host).includes("network"));
  t.ok(host.mounts.some(({ destination }) => destination === "/etc/resolv.conf"));
  const joined = build(withNamespace({ type: "pid", path: "/proc/1/ns/pid" })).linux.namespaces;
  t.same(
    joined.filter(({ type }) => type === "pid"),
    [{ type: "pid", path: "/proc/1/ns/pid" }],
  );
  const map = [{ containerID: 0, hostID: 100_000, size: 65_536 }];
  const mapped = build(withUserNamespace(map, map));
  t.ok(types(mapped).includes("user"));
  t.same(mapped.linux.uidMappings, map);
});

t.test("withTty() names a terminal unless the environment does", async (t) => {
  t.ok(build(withTty()).process.env.includes("TERM=xterm"));
  t.notOk(build(withEnv(["TERM=dumb"]), withTty()).process.env.includes("TERM=xterm"));
  t.equal(build(withTty()).process.terminal, true);
});

t.test("devices and privileges open what they say", async (t) => {
  const device = { path: "/dev/fuse", type: "c", major: 10, minor: 229 } as const;
  const { linux } = build(withDevices([device], "rw"));
  t.same(linux.devices, [device]);
  t.same(linux.resources.devices?.at(-1), { allow: true, type: "c", major: 10, minor: 229, access: "rw" });
  const open = build(withSeccomp(), withPrivileged({ capabilities: ["CAP_KILL"], devices: [device] }));
  t.same(open.linux.resources.devices, [{ allow: true, access: "rwm" }]);
  t.notOk("maskedPaths" in open.linux || "seccomp" in open.linux);
  t.ok(open.mounts.find(({ type }) => type === "sysfs")?.options.includes("rw"));
  t.same(open.process.capabilities.bounding, ["CAP_KILL"]);
});

t.test("withSeccomp() allows by capability and machine", async (t) => {
  const names = (capabilities: readonly string[], architecture = "amd64"): string[] =>
    defaultSeccomp({ architecture, capabilities })
      .syscalls.filter(({ action, args }) => action === "SCMP_ACT_ALLOW" && args === undefined)
      .flatMap(({ names }) => names);
  t.notOk(names([]).includes("mount"));
  t.notOk(names([]).includes("clone"), "clone is allowed without namespaces only");
  t.ok(names(["CAP_SYS_ADMIN"]).includes("mount"));
  t.ok(names([]).includes("arch_prctl"));
  t.notOk(names([], "arm64").includes("arch_prctl"));
  for (const absent of ["io_uring_setup", "keyctl", "userfaultfd", "kexec_load", "bpf", "socket"])
    t.notOk(names([]).includes(absent), absent);
  t.same(defaultSeccomp({ architecture: "vax", capabilities: [] }).architectures, []);
  const clone = defaultSeccomp({ architecture: "s390x", capabilities: [] }).syscalls.find(
    ({ names }) => names[0] === "clone",
  );
  t.equal(clone?.args?.[0]?.index, 1);
  const own = { defaultAction: "SCMP_ACT_ALLOW", architectures: [], syscalls: [] };
  t.same(build(withSeccomp(own)).linux.seccomp, own);
});

t.test("buildSpec() refuses a container without a program", async (t) => {
  t.throws(() => buildSpec({ id: "x", namespace: "default", options: [] }), {
    code: "INVALID_ARGUMENT",
    reason: "args-missing",
  });
});
