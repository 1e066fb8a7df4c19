import t from "tap";
import { SecurityProfile_ProfileType as Type } from "../../gen/runtime/v1/api_pb.js";
import { parseBaseSpec } from "../../src/cri/spec/index.js";
import { LazuliError } from "../../src/errors/index.js";
import { buildContainer, buildPod, type Config, refusalOf } from "./spec-build.js";
import { testHost, testRuntime, testSettings } from "./spec-host.js";

type Security = NonNullable<NonNullable<Config["linux"]>["securityContext"]>;
type Host = Parameters<typeof testHost>[0];

async function secured(securityContext: Security, host: Host = {}, settings = testSettings) {
  const isPrivileged = securityContext.privileged ?? false;
  const { spec } = await buildContainer({
    config: { linux: { securityContext } },
    pod: { linux: { securityContext: { privileged: isPrivileged } } },
    host: testHost(host),
    settings,
  });
  return spec;
}

const files = {
  "/profiles/own.json":
    '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["chmod"],"action":"SCMP_ACT_KILL"}]}',
  "/profiles/list.json": "[]",
  "/profiles/action.json": '{"defaultAction":"ALLOW"}',
  "/profiles/names.json":
    '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":[],"action":"SCMP_ACT_KILL"}]}',
  "/profiles/negative.json":
    '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["a"],"action":"SCMP_ACT_ERRNO","errnoRet":-1}]}',
  "/profiles/cut.json": '{"defaultAction":"SCMP',
};
const localhost = (path: string) => ({ seccomp: { profileType: Type.Localhost, localhostRef: path } });

const filters: readonly (readonly [
  name: string,
  security: Security,
  wanted: string | undefined,
  host?: Host,
])[] = [
  ["nothing", {}, undefined],
  ["the runtime's", { seccomp: { profileType: Type.RuntimeDefault } }, "SCMP_ACT_ERRNO"],
  ["none", { seccomp: { profileType: Type.Unconfined } }, undefined],
  ["a file", localhost("/profiles/own.json"), "SCMP_ACT_ALLOW"],
  ["a file with its old prefix", localhost("localhost//profiles/own.json"), "SCMP_ACT_ALLOW"],
  ["the runtime's by the old field", { seccompProfilePath: "runtime/default" }, "SCMP_ACT_ERRNO"],
  ["Docker's by the old field", { seccompProfilePath: "docker/default" }, "SCMP_ACT_ERRNO"],
  ["none by the old field", { seccompProfilePath: "unconfined" }, undefined],
  ["a file by the old field", { seccompProfilePath: "localhost//profiles/own.json" }, "SCMP_ACT_ALLOW"],
  [
    "the new field before the old one",
    { seccomp: { profileType: Type.Unconfined }, seccompProfilePath: "x" },
    undefined,
  ],
  [
    "one for a privileged container",
    { seccomp: { profileType: Type.RuntimeDefault }, privileged: true },
    undefined,
  ],
  [
    "none on a kernel without",
    { seccomp: { profileType: Type.Unconfined } },
    undefined,
    { hasSeccomp: false },
  ],
];
for (const [name, security, wanted, host = {}] of filters) {
  t.test(`containerSpec() filters calls when the config asks for ${name}`, async (t) => {
    t.equal((await secured(security, { files, ...host })).linux.seccomp?.defaultAction, wanted);
  });
}

const wrongFilters: readonly (readonly [name: string, security: Security, reason: string, host?: Host])[] = [
  ["a file that is missing", localhost("/profiles/none.json"), "seccomp-profile-unreadable"],
  ["a list", localhost("/profiles/list.json"), "seccomp-profile-invalid"],
  ["an unknown action", localhost("/profiles/action.json"), "seccomp-profile-invalid"],
  ["a rule for nothing", localhost("/profiles/names.json"), "seccomp-profile-invalid"],
  ["a negative error", localhost("/profiles/negative.json"), "seccomp-profile-invalid"],
  ["an old field that names no kind", { seccompProfilePath: "own.json" }, "security-profile-invalid"],
  [
    "a file for the runtime's",
    { seccomp: { profileType: 0, localhostRef: "x" } },
    "seccomp-reference-invalid",
  ],
  ["an unknown kind", { seccomp: { profileType: 7 as Type } }, "seccomp-type-unknown"],
  [
    "a filter that the kernel lacks",
    { seccomp: { profileType: 0 } },
    "seccomp-unsupported",
    { hasSeccomp: false },
  ],
];
for (const [name, security, reason, host = {}] of wrongFilters) {
  t.test(`containerSpec() refuses a seccomp profile that is ${name}`, async (t) => {
    t.equal((await refusalOf(secured(security, { files, ...host })))?.reason, reason);
  });
}

t.test("containerSpec() refuses a seccomp profile that is cut off", async (t) => {
  await t.rejects(secured(localhost("/profiles/cut.json"), { files }), { code: "INVALID_ARGUMENT" });
});

t.test("specs are filtered by unset_seccomp_profile where nothing is asked for", async (t) => {
  const settings = { ...testSettings, unsetSeccompProfile: "runtime/default" };
  t.ok((await secured({}, {}, settings)).linux.seccomp);
  t.ok((await buildPod({ settings })).spec.linux.seccomp);
  t.notOk((await secured({ seccomp: { profileType: Type.Unconfined } }, {}, settings)).linux.seccomp);
});

const apparmor: readonly (readonly [
  name: string,
  security: Security,
  wanted: string | undefined,
  host?: Host,
])[] = [
  ["nothing", {}, "default-profile"],
  ["the runtime's", { apparmor: { profileType: Type.RuntimeDefault } }, "default-profile"],
  ["none", { apparmor: { profileType: Type.Unconfined } }, undefined],
  ["one of the node", { apparmor: { profileType: Type.Localhost, localhostRef: "own" } }, "own"],
  ["one of the node by the old field", { apparmorProfile: "localhost/own" }, "own"],
  ["nothing when it is privileged", { privileged: true }, undefined],
  ["one of the node when it is privileged", { privileged: true, apparmorProfile: "localhost/own" }, "own"],
  ["nothing on a node without", {}, undefined, { hasApparmor: false }],
];
for (const [name, security, wanted, host = {}] of apparmor) {
  t.test(`containerSpec() takes AppArmor's profile when the config asks for ${name}`, async (t) => {
    const spec = await secured(security, { hasApparmor: true, apparmorProfiles: ["own"], ...host });
    t.equal(spec.process.apparmorProfile, wanted);
  });
}

t.test("containerSpec() refuses profiles that AppArmor does not have", async (t) => {
  const host = { hasApparmor: true };
  const other = await refusalOf(secured({ apparmorProfile: "localhost/other" }, host));
  t.match(other, { code: "NOT_FOUND", message: "apparmor profile not found other" });
  const none = await refusalOf(secured({ apparmor: { profileType: 0 } }, { hasApparmor: false }));
  t.match(none, { code: "FAILED_PRECONDITION", message: "apparmor is not supported" });
  const disabled = await refusalOf(
    secured({ apparmorProfile: "localhost/own" }, host, { ...testSettings, disableApparmor: true }),
  );
  t.match(disabled, { reason: "apparmor-unsupported" });
});

const selinux = {
  process: "system_u:system_r:container_t:s0",
  file: "system_u:object_r:container_file_t:s0",
};
const labelled = { ...testSettings, enableSelinux: true };

t.test("specs carry the pod's SELinux label, or the container's own", async (t) => {
  const host = testHost({ selinux });
  const pod = await buildPod({ host, settings: labelled });
  t.equal(pod.processLabel, "system_u:system_r:container_t:s0:c2,c3");
  t.equal(pod.spec.process.selinuxLabel, pod.processLabel);
  t.equal(pod.spec.linux.mountLabel, "system_u:object_r:container_file_t:s0:c2,c3");
  const inherited = await buildContainer({ host, settings: labelled, podLabel: pod.processLabel });
  t.equal(inherited.processLabel, pod.processLabel);
  const own = await buildContainer({
    host,
    settings: labelled,
    podLabel: pod.processLabel,
    config: {
      linux: {
        securityContext: { selinuxOptions: { type: "own_t", level: "s0:c7,c9", user: "u", role: "r" } },
      },
    },
  });
  t.equal(own.processLabel, "u:r:own_t:s0:c7,c9");
  t.equal(own.spec.linux.mountLabel, "u:object_r:container_file_t:s0:c7,c9");
});

t.test("a privileged container has no SELinux label, but its record has", async (t) => {
  const { spec, processLabel } = await buildContainer({
    host: testHost({ selinux }),
    settings: labelled,
    podLabel: "a:b:c:s0:c1,c2",
    pod: { linux: { securityContext: { privileged: true } } },
    config: { linux: { securityContext: { privileged: true } } },
  });
  t.notOk(spec.process.selinuxLabel);
  t.equal(processLabel, "a:b:c:s0:c1,c2");
});

for (const level of ["0", "s0:c1,c2 ", "s0:x", "s0:c12345", "s0;rm", "c1"]) {
  t.test(`specs refuse the SELinux level ${JSON.stringify(level)}`, async (t) => {
    const wanted = { code: "INVALID_ARGUMENT", reason: "selinux-level-invalid" };
    t.match(await refusalOf(secured({ selinuxOptions: { level } })), wanted);
    const config = { linux: { securityContext: { selinuxOptions: { level } } } };
    t.match(await refusalOf(buildPod({ config })), wanted);
  });
}

t.test("containerSpec() refuses a privileged container in a pod that is not", async (t) => {
  const config = { linux: { securityContext: { privileged: true } } };
  const refusal = await refusalOf(buildContainer({ config }));
  t.match(refusal, { code: "INVALID_ARGUMENT", message: "no privileged container allowed in sandbox" });
});

t.test("containerSpec() gives a privileged container the node's devices as the runtime says", async (t) => {
  const device = { path: "/dev/kvm", type: "c", major: 10, minor: 232 } as const;
  const host = testHost({ devices: async () => [device] });
  const build = async (
    privilegedWithoutHostDevices: boolean,
    privilegedWithoutHostDevicesAllDevicesAllowed: boolean,
  ) => {
    const runtime = {
      ...testRuntime,
      privilegedWithoutHostDevices,
      privilegedWithoutHostDevicesAllDevicesAllowed,
    };
    const linux = { securityContext: { privileged: true } };
    return (await buildContainer({ host, runtime, pod: { linux }, config: { linux } })).spec.linux;
  };
  const all = [{ allow: true, access: "rwm" }];
  t.match(await build(false, false), { devices: [device], resources: { devices: all } });
  const none = await build(true, false);
  t.notOk(none.devices);
  t.strictSame(none.resources.devices, [{ allow: false, access: "rwm" }]);
  t.strictSame((await build(true, true)).resources.devices, all);
});

t.test("containerSpec() raises ambient capabilities that are asked for, and no others", async (t) => {
  const added = await secured({
    capabilities: { addCapabilities: ["cap_net_admin"], dropCapabilities: ["ALL"] },
  });
  t.strictSame(added.process.capabilities.bounding, ["CAP_NET_ADMIN"]);
  t.notOk(added.process.capabilities.ambient);
  const ambient = await secured({
    capabilities: { addAmbientCapabilities: ["NET_RAW"], dropCapabilities: ["ALL"] },
  });
  t.match(ambient.process.capabilities, {
    bounding: ["CAP_NET_RAW"],
    inheritable: ["CAP_NET_RAW"],
    ambient: ["CAP_NET_RAW"],
  });
});

t.test("containerSpec() masks what the config says, or what the default is where it may not", async (t) => {
  const asked = await secured({ maskedPaths: ["/a"], readonlyPaths: ["/b"] });
  t.match(asked.linux, { maskedPaths: ["/a"], readonlyPaths: ["/b"] });
  t.strictSame((await secured({})).linux.maskedPaths, []);
  const kept = await secured({ maskedPaths: ["/a"] }, {}, { ...testSettings, disableProcMount: true });
  t.ok(kept.linux.maskedPaths?.includes("/proc/kcore"));
  t.notOk(
    (await secured({ privileged: true, maskedPaths: ["/a"] }, { devices: async () => [] })).linux.maskedPaths,
  );
});

t.test("containerSpec() builds on the runtime's base spec", async (t) => {
  const baseSpec = parseBaseSpec(
    Buffer.from(
      JSON.stringify({
        process: { rlimits: [{ type: "RLIMIT_NOFILE", hard: 5, soft: 5 }], env: ["BASE=1"], umask: 18 },
        hooks: { poststop: [{ path: "/hook" }] },
        linux: { seccomp: { defaultAction: "SCMP_ACT_LOG" }, resources: { pids: { limit: 7 } } },
      }),
    ),
  );
  const { spec } = await buildContainer({ runtime: { ...testRuntime, baseSpec } });
  t.match(spec, {
    hooks: { poststop: [{ path: "/hook" }] },
    process: { umask: 18, rlimits: [{ hard: 5 }], args: ["true"] },
    linux: {
      seccomp: { defaultAction: "SCMP_ACT_LOG" },
      resources: { pids: { limit: 7 } },
      cgroupsPath: "/k8s.io/CONTAINER",
    },
  });
  t.ok(spec.process.env.includes("BASE=1"));
  t.notOk(spec.mounts.some(({ destination }) => destination === "/run"));
});

for (const text of [
  "[]",
  '{"mounts":{}}',
  '{"process":[]}',
  '{"linux":{"namespaces":7}}',
  "{",
  '{"process":{"rlimits":1}}',
]) {
  t.test(`parseBaseSpec() refuses ${text}`, async (t) => {
    t.throws(() => parseBaseSpec(Buffer.from(text)), LazuliError);
  });
}
