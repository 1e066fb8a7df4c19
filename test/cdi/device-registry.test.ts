import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import t, { type Test } from "tap";
import { openDeviceRegistry, type RuntimeSpec } from "../../src/cdi/index.js";

const run = promisify(execFile);

async function foldersOf(t: Test): Promise<{ low: string; high: string }> {
  const root = await mkdtemp(join(tmpdir(), "lazuli-cdi-"));
  t.teardown(() => rm(root, { recursive: true, force: true }));
  const folders = { low: join(root, "etc"), high: join(root, "run") };
  await mkdir(folders.low);
  await mkdir(folders.high);
  return folders;
}

function specFile(facts: Record<string, unknown>): string {
  return JSON.stringify({ cdiVersion: "1.1.0", kind: "vendor.com/gpu", ...facts });
}

function withEnv(name: string, value: string) {
  return { name, containerEdits: { env: [`WHICH=${value}`] } };
}

t.test("inject() makes all edits of the device and of its file", async (t) => {
  const { low, high } = await foldersOf(t);
  const fifo = join(low, "node");
  await run("mkfifo", [fifo]);
  await writeFile(
    join(low, "vendor.json"),
    specFile({
      devices: [
        {
          name: "0",
          annotations: { any: "text" },
          containerEdits: {
            deviceNodes: [
              { path: "/dev/zero-of-vendor", hostPath: "/dev/zero", permissions: "rw" },
              { path: "/dev/given", type: "b", major: 8, minor: 3, uid: 4, gid: 5, fileMode: 0o600 },
              { path: fifo },
              { path: "/dev/silent", hostPath: "/dev/null", permissions: "none" },
            ],
            netDevices: [{ hostInterfaceName: "eth7", name: "rdma0" }],
            intelRdt: { closID: "class", schemata: ["L3:0=f"], enableMonitoring: true },
          },
        },
      ],
      containerEdits: {
        env: ["A=new", "B=2"],
        mounts: [
          { hostPath: "/opt/lib", containerPath: "/usr/lib/vendor", options: ["ro", "bind"] },
          { hostPath: "/opt", containerPath: "/opt", type: "bind" },
        ],
        hooks: [
          { hookName: "createContainer", path: "/bin/hook", args: ["hook", "x"], env: ["H=1"], timeout: 4 },
        ],
        additionalGids: [0, 44, 44],
      },
    }),
  );
  const before: RuntimeSpec = {
    process: { env: ["PATH=/bin", "A=old"], user: { uid: 1000, gid: 0, additionalGids: [7] } },
    mounts: [
      { destination: "/usr/lib/vendor", source: "old" },
      { destination: "/proc", source: "proc", type: "proc" },
    ],
    linux: {
      namespaces: [{ type: "user" }],
      devices: [{ path: "/dev/given", type: "c", major: 1, minor: 1 }],
    },
  };
  const copy = structuredClone(before);
  const registry = openDeviceRegistry({ folders: [low, high] });
  const after = await registry.inject(before, ["vendor.com/gpu=0"]);
  t.same(before, copy, "the spec that was given stays as it is");
  t.same(after.process?.env, ["PATH=/bin", "A=new", "B=2"]);
  t.same(after.process?.user?.additionalGids, [7, 44]);
  t.same(after.mounts, [
    { destination: "/proc", source: "proc", type: "proc" },
    { destination: "/opt", source: "/opt", type: "bind", options: ["idmap"] },
    { destination: "/usr/lib/vendor", source: "/opt/lib", options: ["ro", "bind", "idmap"] },
  ]);
  const zero = await stat("/dev/zero");
  t.same(after.linux?.devices, [
    {
      path: "/dev/zero-of-vendor",
      type: "c",
      major: 1,
      minor: 5,
      fileMode: zero.mode & 0o7777,
      uid: 1000,
    },
    { path: "/dev/given", type: "b", major: 8, minor: 3, fileMode: 0o600, uid: 4, gid: 5 },
    { path: fifo, type: "p", fileMode: (await stat(fifo)).mode & 0o7777, uid: 1000 },
    {
      path: "/dev/silent",
      type: "c",
      major: 1,
      minor: 3,
      fileMode: (await stat("/dev/null")).mode & 0o7777,
      uid: 1000,
    },
  ]);
  t.same(after.linux?.resources?.devices, [
    { allow: true, type: "c", major: 1, minor: 5, access: "rw" },
    { allow: true, type: "b", major: 8, minor: 3, access: "rwm" },
    { allow: true, type: "c", major: 1, minor: 3, access: "" },
  ]);
  t.same(after.linux?.netDevices, { eth7: { name: "rdma0" } });
  t.same(after.linux?.intelRdt, { closID: "class", schemata: ["L3:0=f"], enableMonitoring: true });
  t.same(after.hooks, {
    createContainer: [{ path: "/bin/hook", args: ["hook", "x"], env: ["H=1"], timeout: 4 }],
  });
});

t.test("inject() reads YAML, and a file anew when it has changed", async (t) => {
  const { low, high } = await foldersOf(t);
  const path = join(high, "v.yaml");
  const text = (value: string): string => `---
cdiVersion: "0.5.0"
kind: vendor.com/net
devices:
  - name: 0
    containerEdits:
      env: ["WHICH=${value}"]
      deviceNodes:
        - {path: /dev/x, type: c, major: 10, minor: 1, fileMode: 0660}
`;
  await writeFile(path, text("a"));
  const registry = openDeviceRegistry({ folders: [low, high] });
  const first = await registry.inject<RuntimeSpec>({}, ["vendor.com/net=0"]);
  t.same(first.process?.env, ["WHICH=a"]);
  t.equal(first.linux?.devices?.[0]?.fileMode, 0o660, "octal as in YAML 1.1");
  await writeFile(path, text("changed"));
  t.same((await registry.inject<RuntimeSpec>({}, ["vendor.com/net=0"])).process?.env, ["WHICH=changed"]);
  await rm(path);
  await t.rejects(registry.inject({}, ["vendor.com/net=0"]), {
    code: "NOT_FOUND",
    reason: "cdi-device-unresolvable",
  });
});

t.test("a later folder stands above an earlier one, and two files of a folder conflict", async (t) => {
  const { low, high } = await foldersOf(t);
  await writeFile(join(low, "a.json"), specFile({ devices: [withEnv("x", "low-a"), withEnv("y", "a")] }));
  await writeFile(join(low, "b.json"), specFile({ devices: [withEnv("x", "low-b"), withEnv("y", "b")] }));
  await writeFile(join(high, "c.json"), specFile({ devices: [withEnv("x", "high")] }));
  const registry = openDeviceRegistry({ folders: [low, join(low, "absent"), high] });
  t.same((await registry.inject<RuntimeSpec>({}, ["vendor.com/gpu=x"])).process?.env, ["WHICH=high"]);
  await t.rejects(registry.inject({}, ["vendor.com/gpu=x", "vendor.com/gpu=y"]), {
    code: "NOT_FOUND",
    reason: "cdi-device-unresolvable",
    subject: "vendor.com/gpu=y",
    message: /unresolvable CDI devices vendor.com\/gpu=y: looked in .*etc, .*run$/,
    hint: /conflicting device/,
  });
  const { devices, problems } = await registry.inventory();
  t.same(devices, ["vendor.com/gpu=x"]);
  t.equal(problems.length, 2, "both files are told");
});

t.test("a broken file makes its own devices unavailable only, and is told", async (t) => {
  const { low, high } = await foldersOf(t);
  await writeFile(join(low, "good.json"), specFile({ devices: [withEnv("x", "1")] }));
  await writeFile(join(low, "other.txt"), "no spec");
  await mkdir(join(low, "folder.json"));
  await run("mkfifo", [join(low, "fifo.yaml")]);
  const deep = `${"[".repeat(20_000)}${"]".repeat(20_000)}`;
  const bombs = ["a: &a [x,x,x,x,x,x,x,x,x,x]", ..."bcdefgh"].map((key, index) =>
    index === 0
      ? key
      : `${key}: &${key} [${Array(10)
          .fill(`*${"abcdefgh"[index - 1]}`)
          .join(",")}]`,
  );
  const broken: Record<string, string | Buffer> = {
    "not-json.json": "{",
    "not-yaml.yaml": "a: [",
    "open.yaml": `${specFile({ devices: [withEnv("v", "1")] }).slice(0, -1)}`,
    "two.yaml": `${specFile({ devices: [withEnv("v", "1")] })}\n---\n{}`,
    "key.yaml": `${specFile({ devices: [withEnv("v", "1")] }).slice(0, -1)}, "kind": "a.b/c"}`,
    "twice.yaml": 'cdiVersion: "1.0.0"\ncdiVersion: "1.0.0"',
    "empty.json": "",
    "empty.yaml": "",
    "null.json": "null",
    "list.json": "[]",
    "bytes.json": Buffer.from([0xff, 0xfe, 0x00]),
    "bytes.yaml": Buffer.from([0xff, 0xfe, 0x00]),
    "deep.json": deep,
    "deep.yaml": deep,
    "bomb.yaml": bombs.join("\n"),
    "huge.json": Buffer.alloc(4 * 1024 * 1024 + 1, 0x20),
    "huge.yaml": Buffer.alloc(1024 * 1024 + 1, 0x20),
    "version.json": specFile({ cdiVersion: "9.0.0", devices: [withEnv("v", "1")] }),
    "old.json": specFile({ cdiVersion: "0.1.0", devices: [withEnv("v", "1")] }),
    "kind.json": specFile({ kind: "vendor/", devices: [withEnv("v", "1")] }),
    "none.json": specFile({ devices: [] }),
    "same.json": specFile({ devices: [withEnv("v", "1"), withEnv("v", "1")] }),
    "idle.json": specFile({ devices: [{ name: "v", containerEdits: {} }] }),
    "field.json": specFile({ extra: 1, devices: [withEnv("v", "1")] }),
    "name.json": specFile({ devices: [withEnv("-v", "1")] }),
    "env.json": specFile({ devices: [{ name: "v", containerEdits: { env: ["=x"] } }] }),
    "zero.json": specFile({ devices: [{ name: "v", containerEdits: { env: ["A=\0"] } }] }),
    "type.json": specFile({
      devices: [{ name: "v", containerEdits: { deviceNodes: [{ path: "/x", type: "d" }] } }],
    }),
    "perm.json": specFile({
      devices: [{ name: "v", containerEdits: { deviceNodes: [{ path: "/x", permissions: "rwx" }] } }],
    }),
    "hook.json": specFile({
      devices: [{ name: "v", containerEdits: { hooks: [{ hookName: "x", path: "/x" }] } }],
    }),
    "rdt.json": specFile({ devices: [{ name: "v", containerEdits: { intelRdt: { closID: "../x" } } }] }),
    "gid.json": specFile({ devices: [{ name: "v", containerEdits: { additionalGids: [-1] } }] }),
    "net.json": specFile({
      devices: [
        {
          name: "v",
          containerEdits: {
            netDevices: [
              { hostInterfaceName: "a", name: "x" },
              { hostInterfaceName: "b", name: "x" },
            ],
          },
        },
      ],
    }),
    "young.json": specFile({
      cdiVersion: "0.4.0",
      devices: [{ name: "v", containerEdits: { deviceNodes: [{ path: "/x", hostPath: "/y" }] } }],
    }),
    "proto.json": specFile({ __proto__: null, devices: { length: 3 } }),
  };
  for (const [name, content] of Object.entries(broken)) await writeFile(join(low, name), content);
  const registry = openDeviceRegistry({ folders: [low, high] });
  const { devices, problems } = await registry.inventory();
  t.same(devices, ["vendor.com/gpu=x"]);
  const told = new Set(problems.map(({ path }) => path));
  for (const name of [...Object.keys(broken), "folder.json", "fifo.yaml"]) {
    t.ok(told.has(join(low, name)), `${name} is told`);
  }
  t.equal(told.size, Object.keys(broken).length + 2);
  t.same((await registry.inject<RuntimeSpec>({}, ["vendor.com/gpu=x"])).process?.env, ["WHICH=1"]);
});

t.test("inject() refuses names that are none and devices that the host lacks", async (t) => {
  const { low, high } = await foldersOf(t);
  const nodes = [
    ["absent", { path: "/dev/no-such-device" }],
    ["wrong", { path: "/dev/null", type: "b" }],
    ["file", { path: join(low, "host.json") }],
  ] as const;
  await writeFile(
    join(low, "host.json"),
    specFile({ devices: nodes.map(([name, node]) => ({ name, containerEdits: { deviceNodes: [node] } })) }),
  );
  const registry = openDeviceRegistry({ folders: [low, high] });
  for (const [name] of nodes) {
    await t.rejects(registry.inject({}, [`vendor.com/gpu=${name}`]), {
      code: "FAILED_PRECONDITION",
      reason: "cdi-host-device",
    });
  }
  for (const name of [
    "",
    "x",
    "vendor.com/gpu",
    "vendor.com/gpu=",
    "/dev/null",
    "a/b/c=d",
    "1/b=c",
    "a/b=c=d",
  ]) {
    await t.rejects(
      registry.inject({}, [name]),
      { code: "INVALID_ARGUMENT", reason: "cdi-name-invalid" },
      name,
    );
  }
  await writeFile(join(low, "good.json"), specFile({ kind: "vendor.com/ok", devices: [withEnv("x", "1")] }));
  for (const spec of [{ process: { env: "text" } }, { process: "text" }, { process: { env: [1] } }]) {
    await t.rejects(registry.inject(spec, ["vendor.com/ok=x"]), {
      code: "INVALID_ARGUMENT",
      reason: "cdi-runtime-spec-invalid",
    });
  }
  t.same(await registry.inject<object>({ process: { env: null } }, ["vendor.com/ok=x"]), {
    process: { env: ["WHICH=1"] },
  });
  await t.rejects(registry.inject({}, Array(1025).fill("vendor.com/gpu=file")), {
    code: "INVALID_ARGUMENT",
    reason: "cdi-too-many-devices",
  });
  t.same(await registry.inject({ process: {} }, []), { process: {} });
});
