import { create, type MessageInitShape } from "@bufbuild/protobuf";
import t from "tap";
import { LinuxContainerResourcesSchema, NamespaceMode } from "../../gen/runtime/v1/api_pb.js";
import { runtimeJson } from "../../src/cdi/index.js";
import { globMatch } from "../../src/cri/spec/glob-match.js";
import { execProcess, updatedResources, userMappings } from "../../src/cri/spec/index.js";
import { buildContainer, buildPod, refusalOf } from "./spec-build.js";
import { testFacts, testHost, testRuntime, testSettings } from "./spec-host.js";

type Resources = MessageInitShape<typeof LinuxContainerResourcesSchema>;

async function limited(
  resources: Resources,
  options: { settings?: typeof testSettings; host?: ReturnType<typeof testHost> } = {},
) {
  const { spec } = await buildContainer({ config: { linux: { resources } }, ...options });
  return spec;
}

const hugepageLimits = [{ pageSize: "2MB", limit: 4096n }];
const withHugepages = { ...testSettings, disableHugetlbController: false };

t.test("containerSpec() limits memory, and swap with it where there is swap", async (t) => {
  t.strictSame((await limited({ memoryLimitInBytes: 100n })).linux.resources.memory, {
    limit: 100,
    swap: 100,
  });
  const both = { memoryLimitInBytes: 100n, memorySwapLimitInBytes: 150n };
  t.strictSame((await limited(both)).linux.resources.memory, { limit: 100, swap: 150 });
  t.strictSame((await limited({ memoryLimitInBytes: -1n })).linux.resources.memory, { limit: -1, swap: -1 });
  const host = testHost({ hasSwapController: false });
  t.strictSame((await limited(both, { host })).linux.resources.memory, { limit: 100 });
  const most = await limited({ memoryLimitInBytes: 2n ** 63n - 1n });
  const text = Buffer.from(runtimeJson(most.linux.resources.memory)).toString();
  t.ok(BigInt(/"limit":(\d+)/.exec(text)![1]!) < 2n ** 63n, "what Go can read");
});

t.test(
  "containerSpec() limits huge pages, or goes on or refuses without their cgroup, as it is told",
  async (t) => {
    t.notOk((await limited({ hugepageLimits })).linux.resources.hugepageLimits, "switched off");
    const on = await limited({ hugepageLimits }, { settings: withHugepages });
    t.strictSame(on.linux.resources.hugepageLimits, [{ pageSize: "2MB", limit: 4096 }]);
    const host = testHost({ hasHugetlbController: false });
    t.notOk(
      (await limited({ hugepageLimits }, { settings: withHugepages, host })).linux.resources.hugepageLimits,
    );
    const settings = { ...withHugepages, tolerateMissingHugetlbController: false };
    const refusal = await refusalOf(limited({ hugepageLimits }, { settings, host }));
    t.match(refusal, {
      code: "FAILED_PRECONDITION",
      reason: "hugetlb-missing",
      message: /tolerate_missing_hugetlb_controller/,
    });
    t.ok(await limited({}, { settings, host }), "nothing is missing to a container without huge pages");
  },
);

t.test(
  "oom_score_adj is the wanted one, or this process's own where a lower one is not allowed",
  async (t) => {
    const host = testHost({ oomScoreAdj: 500 });
    t.equal((await limited({ oomScoreAdj: 900n }, { host })).process.oomScoreAdj, 900);
    t.equal((await limited({ oomScoreAdj: -10n }, { host })).process.oomScoreAdj, 500);
    const settings = { ...testSettings, restrictOomScoreAdj: false };
    t.equal((await limited({ oomScoreAdj: -10n }, { host, settings })).process.oomScoreAdj, -10);
    t.equal((await buildPod({ settings })).spec.process.oomScoreAdj, -998);
    t.notOk("oomScoreAdj" in (await buildContainer()).spec.process, "nothing asked, nothing written");
  },
);

t.test("updatedResources() changes what is given and leaves the rest", async (t) => {
  const spec = await limited(
    { cpuShares: 10n, cpusetCpus: "0", memoryLimitInBytes: 5n, hugepageLimits },
    { settings: withHugepages },
  );
  const resources = create(LinuxContainerResourcesSchema, {
    cpuQuota: 7n,
    memoryLimitInBytes: 9n,
    unified: { "memory.high": "8" },
    hugepageLimits: [
      { pageSize: "2MB", limit: 1n },
      { pageSize: "1GB", limit: 2n },
    ],
  });
  const change = { resources, settings: withHugepages, facts: testFacts };
  const updated = updatedResources({ spec, ...change });
  t.match(updated.linux.resources, {
    cpu: { shares: 10, cpus: "0", quota: 7 },
    memory: { limit: 9, swap: 9 },
    unified: { "memory.high": "8" },
    hugepageLimits: [
      { pageSize: "2MB", limit: 1 },
      { pageSize: "1GB", limit: 2 },
    ],
  });
  t.equal(updated.linux.resources.hugepageLimits?.length, 2, "each size once");
  t.equal(spec.linux.resources.memory?.limit, 5, "the old one stays as it was");
  t.strictSame(updatedResources({ spec, ...change, resources: undefined }), spec);
});

t.test("execProcess() runs a command as the container's own process", async (t) => {
  const { spec } = await buildContainer({
    config: { tty: true, envs: [{ key: "TERM", value: Buffer.from("vt") }] },
  });
  const silent = execProcess({ spec, command: ["ls", "-l"], isTerminal: false });
  t.match(silent, { args: ["ls", "-l"], terminal: false, user: spec.process.user, env: spec.process.env });
  const terminal = execProcess({ spec, command: ["sh"], isTerminal: true });
  t.ok(terminal.terminal);
  t.strictSame(
    terminal.env.filter((entry) => entry.startsWith("TERM=")),
    ["TERM=xterm"],
  );
  t.throws(() => execProcess({ spec, command: [], isTerminal: false }), { code: "INVALID_ARGUMENT" });
});

const parents: readonly (readonly [parent: string, isSystemd: boolean, path: string])[] = [
  ["", false, "/k8s.io/CONTAINER"],
  ["", true, "system.slice:cri-containerd:CONTAINER"],
  ["/kubepods/burstable", false, "/kubepods/burstable/CONTAINER"],
  ["kubepods.slice/kubepods-b.slice", true, "kubepods-b.slice:cri-containerd:CONTAINER"],
  ["/a/../b/", false, "/b/CONTAINER"],
];
for (const [parent, isSystemd, path] of parents) {
  t.test(`containerSpec() puts a container into ${path}`, async (t) => {
    const runtime = { ...testRuntime, options: { SystemdCgroup: isSystemd } };
    const { spec } = await buildContainer({ runtime, pod: { linux: { cgroupParent: parent } } });
    t.equal(spec.linux.cgroupsPath, path);
  });
}

t.test("containerSpec() hides the node's cgroups by a namespace on cgroup v2", async (t) => {
  const host = testHost({
    hasCgroupV2: true,
    cgroupMountOptions: ["rw", "nsdelegate", "memory_recursiveprot"],
    devices: async () => [],
  });
  const cgroupOf = (spec: Awaited<ReturnType<typeof buildContainer>>["spec"]) =>
    spec.mounts.find(({ type }) => type === "cgroup")?.options.slice(4);
  const { spec } = await buildContainer({ host });
  t.ok(spec.linux.namespaces.some(({ type }) => type === "cgroup"));
  t.strictSame(cgroupOf(spec), ["ro"]);
  const writable = await buildContainer({ host, runtime: { ...testRuntime, cgroupWritable: true } });
  t.strictSame(cgroupOf(writable.spec), ["rw"]);
  const linux = { securityContext: { privileged: true } };
  const open = await buildContainer({ host, pod: { linux }, config: { linux } });
  t.notOk(open.spec.linux.namespaces.some(({ type }) => type === "cgroup"));
  t.strictSame(
    cgroupOf(open.spec),
    ["rw", "nsdelegate", "memory_recursiveprot"],
    "the shared one keeps its options",
  );
});

t.test("containerSpec() joins the processes of a target", async (t) => {
  const linux = { securityContext: { namespaceOptions: { pid: NamespaceMode.TARGET, targetId: "other" } } };
  const { spec } = await buildContainer({
    config: { linux },
    targetPid: async (id) => (id === "other" ? 77 : 0),
  });
  t.same(spec.linux.namespaces.find(({ type }) => type === "pid")?.path, "/proc/77/ns/pid");
  t.match(await refusalOf(buildContainer({ config: { linux } })), { reason: "target-missing" });
});

const line = { hostId: 100_000, containerId: 0, length: 65_536 };
const wrongUsers: readonly (readonly [name: string, options: Parameters<typeof create>[1]])[] = [
  ["two lines", { mode: NamespaceMode.POD, uids: [line, line], gids: [line] }],
  ["no groups", { mode: NamespaceMode.POD, uids: [line], gids: [] }],
  ["an empty line", { mode: NamespaceMode.POD, uids: [{ ...line, length: 0 }], gids: [line] }],
  ["the node's with a mapping", { mode: NamespaceMode.NODE, uids: [line], gids: [line] }],
  ["a container's own", { mode: NamespaceMode.CONTAINER, uids: [line], gids: [line] }],
];
for (const [name, usernsOptions] of wrongUsers) {
  t.test(`podSpec() refuses a user namespace with ${name}`, async (t) => {
    const config = { linux: { securityContext: { namespaceOptions: { usernsOptions } } } };
    const refusal = await refusalOf(buildPod({ config } as Parameters<typeof buildPod>[0]));
    t.match(refusal, {
      code: "INVALID_ARGUMENT",
      reason: "userns-invalid",
      message: /^user namespace configuration: /,
    });
  });
}

t.test("specs use the pod's user namespace, and refuse a container with another", async (t) => {
  const of = (hostId: number) => ({
    securityContext: {
      namespaceOptions: {
        usernsOptions: { mode: NamespaceMode.POD, uids: [{ ...line, hostId }], gids: [line] },
      },
    },
  });
  const { spec: pod } = await buildPod({ config: { linux: of(5) }, userns: "/pods/POD/user" });
  t.same(pod.linux.namespaces.find(({ type }) => type === "user")?.path, "/pods/POD/user");
  t.notOk(pod.linux.sysctl?.["net.ipv4.ping_group_range"], "the kernel refuses it there");
  const { spec } = await buildContainer({ pod: { linux: of(5) }, config: { linux: of(5) } });
  t.same(spec.linux.namespaces.find(({ type }) => type === "user")?.path, "/proc/4242/ns/user");
  const other = await refusalOf(buildContainer({ pod: { linux: of(5) }, config: { linux: of(6) } }));
  t.match(other, { code: "INVALID_ARGUMENT", reason: "userns-differs" });
  t.match(await refusalOf(buildContainer({ pod: { linux: of(5) } })), { reason: "userns-differs" });
  t.equal(userMappings(undefined), undefined);
});

const classes: readonly (readonly [
  name: string,
  pod: Record<string, string>,
  own: Record<string, string>,
  reason: string | undefined,
])[] = [
  ["no class", {}, {}, undefined],
  ["an RDT class", {}, { "io.kubernetes.cri.rdt-class": "gold" }, "rdt-disabled"],
  ["its pod's RDT class", { "rdt.resources.beta.kubernetes.io/pod": "gold" }, {}, "rdt-disabled"],
  [
    "an RDT class in its pod",
    { "rdt.resources.beta.kubernetes.io/container.web": "gold" },
    {},
    "rdt-disabled",
  ],
  [
    "another container's RDT class",
    { "rdt.resources.beta.kubernetes.io/container.x": "gold" },
    {},
    undefined,
  ],
  ["a block I/O class", {}, { "io.kubernetes.cri.blockio-class": "fast" }, "blockio-disabled"],
  [
    "its pod's class taken away",
    { "rdt.resources.beta.kubernetes.io/pod": "a" },
    { "io.kubernetes.cri.rdt-class": "" },
    undefined,
  ],
];
for (const [name, podAnnotations, annotations, reason] of classes) {
  t.test(
    `containerSpec() ${reason === undefined ? "takes" : "refuses"} a container with ${name}`,
    async (t) => {
      const options = { pod: { annotations: podAnnotations }, config: { annotations } };
      t.equal((await refusalOf(buildContainer(options)))?.reason, reason);
      const settings = {
        ...testSettings,
        ignoreRdtNotEnabledErrors: true,
        ignoreBlockioNotEnabledErrors: true,
      };
      t.equal(await refusalOf(buildContainer({ ...options, settings })), undefined);
    },
  );
}

t.test("containerSpec() names CDI devices once each, or refuses them where CDI is off", async (t) => {
  const config = {
    CDIDevices: [{ name: "v.com/c=a" }, { name: "v.com/c=b" }, { name: "v.com/c=a" }],
    annotations: { "cdi.k8s.io/x": "v.com/c=b,v.com/c=z" },
  };
  t.strictSame((await buildContainer({ config })).cdiDevices, ["v.com/c=a", "v.com/c=b", "v.com/c=z"]);
  const refusal = await refusalOf(buildContainer({ config, isCdiEnabled: false }));
  t.match(refusal, { reason: "cdi-disabled", message: /v\.com\/c=a, v\.com\/c=b/ });
});

t.test("containerSpec() gives devices to the user where it is told", async (t) => {
  const host = testHost({
    devices: async (path) =>
      ["a", "deep/b"].map((name) => ({
        path: `${path}/${name}`,
        type: "c",
        major: 1,
        minor: 3,
        uid: 0,
        gid: 6,
      })),
  });
  const settings = { ...testSettings, deviceOwnershipFromSecurityContext: true };
  const build = (permissions: string) =>
    buildContainer({
      host,
      settings,
      config: {
        devices: [{ hostPath: "/dev/x", containerPath: "/dev/y", permissions }],
        linux: { securityContext: { runAsUser: { value: 7n } } },
      },
    });
  const { spec } = await build("rw");
  t.match(spec.linux.devices, [
    { path: "/dev/y/a", uid: 7, gid: 6 },
    { path: "/dev/y/deep/b", uid: 7, gid: 6 },
  ]);
  t.match(spec.linux.resources.devices, [
    { allow: false },
    { allow: true, access: "rw", major: 1 },
    { allow: true },
  ]);
  t.match(await refusalOf(build("rx")), { code: "INVALID_ARGUMENT", reason: "device-invalid" });
});

const patterns: readonly (readonly [pattern: string, text: string, matches: boolean])[] = [
  ["a.b/*", "a.b/c", true],
  ["a.b/*", "a.b/c/d", false],
  ["*", "", true],
  ["*/*c", "a/bc", true],
  ["a?c", "abc", true],
  ["a?c", "a/c", false],
  ["[a-c]x", "bx", true],
  ["[^a-c]x", "bx", false],
  ["[]x", "]x", false],
  ["[a", "a", false],
  ["a\\*", "a*", true],
  ["a\\", "a", false],
  ["a*b*c", "aXbYbZc", true],
  [".*", "a", false],
];
for (const [pattern, text, matches] of patterns) {
  t.test(
    `globMatch() ${matches ? "finds" : "does not find"} ${pattern} in ${JSON.stringify(text)}`,
    async (t) => {
      t.equal(globMatch(pattern, text), matches);
    },
  );
}

t.test("globMatch() takes long texts with many stars without going back far", async (t) => {
  const pattern = `${"*a".repeat(100)}b`;
  t.notOk(globMatch(pattern, "a".repeat(4096)));
  t.notOk(globMatch("(a+)+$", "a".repeat(100_000)));
});

t.test("specs carry 100,000 annotations, and those of lazuli stand above them", async (t) => {
  const annotations: Record<string, string> = {
    "io.kubernetes.cri.sandbox-id": "forged",
    ["__proto__x"]: "1",
  };
  for (let index = 0; index < 100_000; index += 1) annotations[`example.com/${index}`] = "x";
  const runtime = { ...testRuntime, podAnnotations: ["example.com/1*", "io.kubernetes.*"] };
  const { spec } = await buildPod({ config: { annotations }, runtime });
  t.equal(spec.annotations?.["io.kubernetes.cri.sandbox-id"], "POD");
  t.equal(Object.keys(spec.annotations ?? {}).filter((key) => key.startsWith("example.com/")).length, 11_111);
});

t.test("podSpec() sets the sysctls of a pod with its own network, and its hostname", async (t) => {
  const sysctls = { "net.ipv4.ip_unprivileged_port_start": "80" };
  const { spec } = await buildPod({ config: { hostname: "own", linux: { sysctls } } });
  t.strictSame(spec.linux.sysctl, { ...sysctls, "net.ipv4.ping_group_range": "0 2147483647" });
  t.equal(spec.hostname, "own");
  const settings = { ...testSettings, enableUnprivilegedIcmp: false, enableUnprivilegedPorts: false };
  t.strictSame((await buildPod({ settings })).spec.linux.sysctl, {});
  const network = { securityContext: { namespaceOptions: { network: NamespaceMode.NODE } } };
  const node = await buildPod({ config: { hostname: "own", linux: network } });
  t.strictSame(node.spec.linux.sysctl, {});
  t.notOk(node.spec.hostname, "it would be the node's");
});
