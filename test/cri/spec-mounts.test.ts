import t from "tap";
import { MountPropagation, NamespaceMode } from "../../gen/runtime/v1/api_pb.js";
import { notFound } from "../../src/errors/index.js";
import { buildContainer, buildPod, type Config, refusalOf } from "./spec-build.js";
import { podFiles, testHost, testRuntime, testSettings } from "./spec-host.js";

type MountInit = NonNullable<Config["mounts"]>[number];

const mounts = [
  { target: "/", propagation: [] },
  { target: "/shared", propagation: ["shared:1"] },
  { target: "/slave", propagation: ["master:1"] },
  { target: "/shared/private", propagation: [] },
];

async function mounted(mount: MountInit, runtime = testRuntime) {
  const host = testHost({ mounts, links: { "/link": "/shared/x" } });
  const { spec } = await buildContainer({ config: { mounts: [mount] }, host, runtime });
  const { containerPath } = mount;
  return { mount: spec.mounts.find(({ destination }) => destination === containerPath), spec };
}

const {
  PROPAGATION_PRIVATE: PRIVATE,
  PROPAGATION_BIDIRECTIONAL: BOTH,
  PROPAGATION_HOST_TO_CONTAINER: INWARDS,
} = MountPropagation;

const propagations: readonly (readonly [
  name: string,
  hostPath: string,
  propagation: MountPropagation,
  option: string | undefined,
  ofRoot: string | undefined,
])[] = [
  ["private from anywhere", "/x", PRIVATE, "rprivate", undefined],
  ["both ways from a shared mount", "/shared/x", BOTH, "rshared", "rshared"],
  ["both ways by a link to a shared mount", "/link", BOTH, "rshared", "rshared"],
  ["both ways from a private mount", "/x", BOTH, undefined, undefined],
  ["both ways from a private mount in a shared one", "/shared/private/x", BOTH, undefined, undefined],
  ["both ways from a slave", "/slave", BOTH, undefined, undefined],
  ["inwards from a shared mount", "/shared", INWARDS, "rslave", "rslave"],
  ["inwards from a slave", "/slave/x", INWARDS, "rslave", "rslave"],
  ["inwards from a neighbour with the same start", "/sharedx", INWARDS, undefined, undefined],
  ["in a way that this version does not know", "/x", 9 as MountPropagation, "rprivate", undefined],
];
for (const [name, hostPath, propagation, option, ofRoot] of propagations) {
  t.test(
    `containerSpec() ${option === undefined ? "refuses" : "takes"} a mount that propagates ${name}`,
    async (t) => {
      const built = mounted({ containerPath: "/m", hostPath, propagation });
      if (option === undefined) {
        const message = /^path "\/.*" is mounted on "\/.*" but it is not a shared (or slave )?mount$/;
        t.match(await refusalOf(built), { code: "FAILED_PRECONDITION", reason: "mount-not-shared", message });
        return;
      }
      const { mount, spec } = await built;
      t.strictSame(mount?.options, ["rbind", option, "rw"]);
      t.equal(spec.linux.rootfsPropagation, ofRoot);
    },
  );
}

const readonly = true;
const recursiveReadOnly = true;
const recursive: readonly (readonly [
  name: string,
  mount: Partial<MountInit>,
  wanted: string,
  isServed?: boolean,
])[] = [
  ["read-only", { readonly }, "ro"],
  ["recursively read-only", { readonly, recursiveReadOnly }, "rro"],
  ["recursively read-only and writable", { recursiveReadOnly }, "rro-invalid"],
  [
    "recursively read-only and not private",
    { readonly, recursiveReadOnly, propagation: INWARDS },
    "rro-invalid",
  ],
  [
    "recursively read-only where the runtime can't",
    { readonly, recursiveReadOnly },
    "rro-unsupported",
    false,
  ],
];
for (const [name, mount, wanted, isServed = true] of recursive) {
  t.test(`containerSpec() answers a mount that is ${name} with ${wanted}`, async (t) => {
    const runtime = { ...testRuntime, hasRecursiveReadOnlyMounts: isServed };
    const built = mounted({ containerPath: "/m", hostPath: "/shared", ...mount } as MountInit, runtime);
    if (wanted.startsWith("rro-")) {
      const refusal = await refusalOf(built);
      t.equal(refusal?.reason, wanted);
      if (!isServed) t.match(refusal?.message, /^RROUnsupported: /);
    } else {
      t.equal((await built).mount?.options.at(-1), wanted);
    }
  });
}

for (const hostPath of ["", "relative", "../x", "/a\0b"]) {
  t.test(`containerSpec() refuses the path ${JSON.stringify(hostPath)} of the node`, async (t) => {
    const refusal = await refusalOf(mounted({ containerPath: "/m", hostPath }));
    t.match(refusal, { code: "INVALID_ARGUMENT", reason: "host-path-invalid" });
  });
}

t.test("containerSpec() makes folders that are missing, and gives trees the label", async (t) => {
  const selinux = {
    process: "system_u:system_r:container_t:s0",
    file: "system_u:object_r:container_file_t:s0",
  };
  const host = testHost({ missing: ["/new"], selinux });
  const { spec } = await buildContainer({
    host,
    settings: { ...testSettings, enableSelinux: true },
    config: { mounts: [{ containerPath: "/m", hostPath: "/new", selinuxRelabel: true }] },
  });
  t.strictSame(host.made, ["/new"]);
  t.ok(host.relabelled.some(([path, label]) => path === "/new" && label === spec.linux.mountLabel));
});

t.test("containerSpec() lets the config's mounts stand above the pod's files and the base's", async (t) => {
  const own = ["/etc/hosts/", "/etc/./hostname", "/dev/shm", "/proc"];
  const { spec } = await buildContainer({
    config: { mounts: own.map((containerPath) => ({ containerPath, hostPath: "/own" })) },
  });
  for (const path of ["/etc/hosts", "/etc/hostname", "/dev/shm", "/proc"]) {
    const there = spec.mounts.filter(
      ({ destination }) => destination.replace("/./", "/").replace(/\/$/, "") === path,
    );
    t.strictSame(
      there.map(({ source }) => source),
      ["/own"],
      path,
    );
  }
  const depths = spec.mounts.filter(({ type }) => type === "bind").map(({ destination }) => destination);
  t.equal(depths[0], "/proc", "parents come first");
});

t.test("containerSpec() leaves out the pod's files that are not there", async (t) => {
  const host = testHost({ missing: [podFiles.hosts, podFiles.shm] });
  const { spec } = await buildContainer({ host });
  const binds = spec.mounts.filter(({ type }) => type === "bind").map(({ destination }) => destination);
  t.strictSame(binds, ["/etc/hostname", "/etc/resolv.conf"]);
  t.strictSame(host.made, []);
});

t.test("containerSpec() mounts images read-only, and folders in them", async (t) => {
  const image = { image: "data:1" };
  const asked: string[] = [];
  const host = testHost({
    links: { "/mounted/data:1/out": "/etc", "/mounted/data:1/in": "/mounted/data:1/deep" },
    files: { "/mounted/data:1/file": "" },
  });
  const build = async (mount: MountInit) => {
    const { spec } = await buildContainer({
      host,
      config: { mounts: [{ containerPath: "/m", ...mount } as MountInit] },
      mountImage: async (wanted) => {
        asked.push(wanted.image);
        if (wanted.image === "gone:1") throw notFound("no such image", { reason: "image-unknown" });
        return `/mounted/${wanted.image}`;
      },
    });
    return spec.mounts.find(({ destination }) => destination === "/m");
  };
  const ids = [{ hostId: 1, containerId: 0, length: 1 }];
  t.match(await build({ image, readonly, uidMappings: ids }), {
    source: "/mounted/data:1",
    options: ["rbind", "rprivate", "ro"],
  });
  t.notOk(
    "uidMappings" in (await build({ image, readonly, uidMappings: ids }))!,
    "its snapshot maps the owners",
  );
  t.equal((await build({ image, readonly, imageSubPath: "a/b" }))?.source, "/mounted/data:1/a/b");
  t.equal((await build({ image, readonly, imageSubPath: "in" }))?.source, "/mounted/data:1/deep");
  t.strictSame([...new Set(asked)], ["data:1"]);
  const refused: readonly (readonly [string, MountInit])[] = [
    ["a path of the node", { image, readonly, hostPath: "/x" }],
    ["writing", { image }],
    ["no name", { image: { image: "" }, readonly }],
    ["a way up", { image, readonly, imageSubPath: "a/../../x" }],
    ["an absolute folder", { image, readonly, imageSubPath: "/etc" }],
    ["a link out of it", { image, readonly, imageSubPath: "out" }],
    ["a file", { image, readonly, imageSubPath: "file" }],
    ["NUL", { image, readonly, imageSubPath: "a\0b" }],
  ];
  for (const [name, mount] of refused) {
    const refusal = await refusalOf(build(mount));
    t.match(
      refusal,
      { code: "INVALID_ARGUMENT", reason: "image-volume-invalid", message: /^ImageVolumeMountFailed: / },
      name,
    );
  }
  const gone = await refusalOf(build({ image: { image: "gone:1" }, readonly }));
  t.match(gone, {
    code: "NOT_FOUND",
    reason: "image-unknown",
    message: "ImageVolumeMountFailed: no such image",
  });
});

const uids = [{ hostId: 100_000, containerId: 0, length: 65_536 }];
const user = { mode: NamespaceMode.POD, uids, gids: uids };

t.test(
  "specs in a user namespace map the owners of mounts, and bind the node's sysfs on the node's network",
  async (t) => {
    const namespaceOptions = { usernsOptions: user, network: NamespaceMode.NODE };
    const linux = { securityContext: { namespaceOptions } };
    const map = [{ hostID: 100_000, containerID: 0, size: 65_536 }];
    const { spec: pod } = await buildPod({ config: { linux }, userns: undefined, netns: undefined });
    t.strictSame(pod.linux.uidMappings, map);
    t.match(pod.mounts.at(-1), { destination: "/sys", type: "bind", options: ["rbind", "rro"] });
    const { spec } = await buildContainer({
      pod: { linux },
      config: {
        linux,
        mounts: [{ containerPath: "/m", hostPath: "/x", uidMappings: uids, gidMappings: uids }],
      },
    });
    const of = (path: string) => spec.mounts.find(({ destination }) => destination === path);
    t.strictSame(of("/m")?.uidMappings, map);
    t.strictSame(of("/etc/hosts")?.gidMappings, map);
    t.notOk(of("/dev/shm")?.uidMappings);
    t.match(of("/sys"), { type: "bind" });
    t.equal(spec.mounts.filter(({ destination }) => destination === "/sys").length, 1);
  },
);
