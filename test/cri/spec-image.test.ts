import t from "tap";
import { buildContainer, type Config, refusalOf } from "./spec-build.js";
import { testSettings } from "./spec-host.js";

async function processOf(image: unknown, config: Config = {}) {
  return (await buildContainer({ image, config })).spec.process;
}

const PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const programs: readonly (readonly [
  name: string,
  image: unknown,
  config: Config,
  args: readonly string[],
])[] = [
  ["the image's alone", { Entrypoint: ["a"], Cmd: ["b"] }, { command: [] }, ["a", "b"]],
  [
    "the image's with other arguments",
    { Entrypoint: ["a"], Cmd: ["b"] },
    { command: [], args: ["c"] },
    ["a", "c"],
  ],
  [
    "another command without the image's arguments",
    { Entrypoint: ["a"], Cmd: ["b"] },
    { command: ["x"] },
    ["x"],
  ],
  ["another command with arguments", { Entrypoint: ["a"] }, { command: ["x"], args: ["y"] }, ["x", "y"]],
  ["an entrypoint that was taken away", { Entrypoint: [""], Cmd: ["b"] }, { command: [] }, ["b"]],
];
for (const [name, image, config, args] of programs) {
  t.test(`containerSpec() runs ${name}`, async (t) => {
    t.strictSame((await processOf(image, config)).args, args);
  });
}

t.test("containerSpec() refuses a container without a program", async (t) => {
  const refusal = await refusalOf(processOf({}, { command: [] }));
  t.match(refusal, { code: "INVALID_ARGUMENT", reason: "args-missing", message: "no command specified" });
});

t.test("containerSpec() lets the kubelet's variables stand above the image's", async (t) => {
  const envs = [
    { key: "A", value: Buffer.from("own=1") },
    { key: "HOSTNAME", value: Buffer.from("other") },
    { key: "EMPTY", value: Buffer.alloc(0) },
  ];
  const { env } = await processOf({ Env: ["A=image", "B=2", "TERM=vt"] }, { envs, tty: true });
  t.strictSame(env, [PATH, "TERM=vt", "HOSTNAME=other", "A=own=1", "B=2", "EMPTY="]);
});

const environments: readonly (readonly [
  name: string,
  env: readonly string[],
  wanted: readonly string[] | undefined,
])[] = [
  ["a name alone, which takes a variable away", ["B=1", "B"], [PATH, "HOSTNAME=node"]],
  ["line breaks", ["B=1\n2"], [PATH, "HOSTNAME=node", "B=1\n2"]],
  ["__proto__", ["__proto__=1"], [PATH, "HOSTNAME=node", "__proto__=1"]],
  ["one variable twice", ["B=1", "B=2"], [PATH, "HOSTNAME=node", "B=2"]],
  ["no name", ["=1"], undefined],
];
for (const [name, env, wanted] of environments) {
  t.test(`containerSpec() answers an image's environment with ${name}`, async (t) => {
    if (wanted === undefined) t.match(await refusalOf(processOf({ Env: env })), { reason: "env-invalid" });
    else t.strictSame((await processOf({ Env: env })).env, wanted);
  });
}

t.test("containerSpec() refuses NUL in the kubelet's variables", async (t) => {
  const envs = [{ key: "A", value: Buffer.from("1\0LD_PRELOAD=x") }];
  t.match(await refusalOf(processOf({}, { envs })), { code: "INVALID_ARGUMENT", reason: "env-invalid" });
});

t.test("containerSpec() takes as many variables as an image may have", async (t) => {
  const Env = Array.from({ length: 10_000 }, (_, index) => `V${index}=1`);
  t.equal((await processOf({ Env })).env.length, 10_002);
  t.match(await refusalOf(processOf({ Env: [...Env, "ONE=more"] })), { reason: "run-config-invalid" });
});

for (const path of [
  "/proc/self/fd/7",
  "/proc/self/fd/8/../../..",
  "//proc//self/./fd/7",
  "/proc/thread-self/cwd",
  "/proc/1/root/etc",
  "/proc/self/task/1/fd/3",
  "/a/../proc/self/fd/7",
  "relative",
  "../..",
]) {
  t.test(`containerSpec() refuses the working folder ${path}`, async (t) => {
    const wanted = { code: "INVALID_ARGUMENT", reason: "working-folder-invalid" };
    t.match(await refusalOf(processOf({ WorkingDir: path })), wanted, "the image's");
    t.match(await refusalOf(processOf({}, { workingDir: path })), wanted, "the kubelet's");
  });
}

t.test("containerSpec() works in the kubelet's folder, the image's, or the root", async (t) => {
  t.equal((await processOf({ WorkingDir: "/image" }, { workingDir: "/own" })).cwd, "/own");
  t.equal((await processOf({ WorkingDir: "/image" })).cwd, "/image");
  t.equal((await processOf({})).cwd, "/");
  t.equal((await processOf({ WorkingDir: "/proc/sys/../self" })).cwd, "/proc/sys/../self");
});

const volumes: readonly (readonly [volume: string, path: string | undefined])[] = [
  ["/data", "/data"],
  ["/data/", "/data"],
  ["data", "/data"],
  ["../../etc", "/etc"],
  ["/a/../../../etc/./x", "/etc/x"],
  ["/sys/fs/cgroup", "/sys/fs/cgroup"],
  ["/__proto__", "/__proto__"],
  ["", undefined],
  ["/", undefined],
  [".", undefined],
  ["..", undefined],
  ["//", undefined],
  ["/x/..", undefined],
  ["/proc", undefined],
  ["/proc/sys", undefined],
  ["/x/../proc/self", undefined],
  ["a\0b", undefined],
];
for (const [volume, path] of volumes) {
  t.test(
    `containerSpec() ${path === undefined ? "refuses" : "mounts"} the image's volume ${JSON.stringify(volume)}`,
    async (t) => {
      const image = { Volumes: { [volume]: {} } };
      if (path === undefined) {
        t.match(await refusalOf(buildContainer({ image })), {
          code: "INVALID_ARGUMENT",
          reason: "volume-invalid",
        });
        return;
      }
      const { spec, volumes } = await buildContainer({ image });
      t.match(volumes, [
        { containerPath: path, hostPath: /^\/containers\/CONTAINER\/volumes\/[0-9a-f]{64}$/ },
      ]);
      t.equal(spec.mounts.find(({ destination }) => destination === path)?.source, volumes[0]?.hostPath);
    },
  );
}

t.test(
  "containerSpec() makes no volumes where the config mounts, or where they are switched off",
  async (t) => {
    const image = { Volumes: { "/data": {}, "/data/": {}, data: {}, "/other": {} } };
    const mounts = [{ containerPath: "/data/", hostPath: "/v" }];
    t.match((await buildContainer({ image, config: { mounts } })).volumes, [{ containerPath: "/other" }]);
    const settings = { ...testSettings, ignoreImageDefinedVolumes: true };
    t.strictSame((await buildContainer({ image, settings })).volumes, []);
    const many = Object.fromEntries(Array.from({ length: 1001 }, (_, index) => [`/v${index}`, {}]));
    t.match(await refusalOf(buildContainer({ image: { Volumes: many } })), { reason: "volume-invalid" });
  },
);
