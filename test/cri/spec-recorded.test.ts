import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import t from "tap";
import { ContainerConfigSchema, PodSandboxConfigSchema } from "../../gen/runtime/v1/api_pb.js";
import { containerSpec, podSpec, type RuntimeTable, type SpecHost } from "../../src/cri/spec/index.js";
import { type LinuxDevice, parseRunConfig, type RuntimeSpec } from "../../src/spec/index.js";
import { projectRoot } from "../../testing/rig/lab.js";
import { podFiles, testHost, testRuntime, testSettings } from "./spec-host.js";

/** Of containerd 2.4, by its CRI socket, on a node with cgroup v1: configs, and the specs that it stored for them. */
interface Recorded {
  readonly hostname: string;
  readonly pause: unknown;
  readonly images: Readonly<Record<string, { config: unknown; passwd: string | null; group: string | null }>>;
  readonly cases: readonly {
    readonly name: string;
    readonly pod: JsonValue;
    readonly container: JsonValue;
    readonly podSpec: RuntimeSpec;
    readonly containerSpec: RuntimeSpec;
  }[];
}

const [head = "", ...lines] = readFileSync(join(projectRoot, "test/cri/recorded-specs.jsonl"), "utf8")
  .trim()
  .split("\n");
const recorded: Recorded = { ...JSON.parse(head), cases: lines.map((line) => JSON.parse(line)) };
const privileged = recorded.cases.find(({ name }) => name === "privileged")!.containerSpec;

function hostOf(): SpecHost {
  const devices = privileged.linux.devices ?? [];
  return testHost({
    hostname: async () => recorded.hostname,
    capabilities: privileged.process.capabilities.bounding,
    devices: async (path) => devices.filter((device) => path === "/dev" || device.path === path),
    mounts: [
      { target: "/", propagation: [] },
      { target: "/node/shared", propagation: ["shared:7"] },
    ],
    files: {
      "/node/seccomp.json": JSON.stringify(
        recorded.cases.find(({ name }) => name === "seccomp by a file")!.containerSpec.linux.seccomp,
      ),
    },
  });
}

const runtime: RuntimeTable = {
  ...testRuntime,
  podAnnotations: ["example.com/*"],
  containerAnnotations: ["own.example/[a-c]?"],
};

/** As Go writes it, which leaves out what is empty; what is drawn by lot has one name; the order of namespaces means nothing. */
function comparable(spec: RuntimeSpec): unknown {
  const text = JSON.stringify(spec, (key, value: unknown) => {
    // Go leaves out what is false, where a field may be left out.
    if (key === "ociVersion" || (key === "noNewPrivileges" && value === false)) return undefined;
    if (Array.isArray(value) && value.length === 0) return undefined;
    // The order of calls in a filter means nothing, as that of capabilities.
    if (["names", "bounding", "effective", "permitted"].includes(key)) return [...(value as string[])].sort();
    if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
    return Object.keys(value).length === 0 ? undefined : value;
  });
  const parsed = JSON.parse(
    text
      .replace(/[^"]*\/volumes\/[0-9a-f]{64}/g, "VOLUME")
      .replace(/\/var\/run\/netns\/cni-[0-9a-f-]+/g, "NETNS"),
  );
  parsed.linux.namespaces.sort((a: { type: string }, b: { type: string }) => (a.type < b.type ? -1 : 1));
  return parsed;
}

for (const one of recorded.cases) {
  const podConfig = fromJson(PodSandboxConfigSchema, one.pod);
  const pause = parseRunConfig(Buffer.from(JSON.stringify({ config: recorded.pause })));

  t.test(`podSpec() builds containerd's spec: ${one.name}`, async (t) => {
    const { spec } = await podSpec({
      id: "POD",
      config: podConfig,
      netns: "NETNS",
      userns: undefined,
      rootfsPath: "rootfs",
      args: pause.entrypoint,
      image: pause,
      imageName: "registry.k8s.io/pause:3.10.2",
      files: podFiles,
      runtime,
      settings: testSettings,
      host: hostOf(),
    });
    t.strictSame(comparable(spec), comparable(one.podSpec));
  });

  t.test(`containerSpec() builds containerd's spec: ${one.name}`, async (t) => {
    const config = fromJson(ContainerConfigSchema, one.container);
    const image = recorded.images[config.image!.image]!;
    const { spec } = await containerSpec({
      id: "CONTAINER",
      config,
      imageConfig: parseRunConfig(Buffer.from(JSON.stringify({ config: image.config }))),
      imageName: config.image!.userSpecifiedImage || config.image!.image,
      accounts: { passwd: image.passwd ?? undefined, group: image.group ?? undefined },
      pod: { id: "POD", config: podConfig, pid: 4242, processLabel: "", files: podFiles },
      volumesFolder: "/containers/CONTAINER/volumes",
      mountImage: async () => t.fail("no image is mounted") as never,
      isCdiEnabled: true,
      runtime,
      settings: testSettings,
      host: hostOf(),
    });
    t.strictSame(comparable(spec), comparable(one.containerSpec));
  });
}

t.test("the recorded devices are those of a node", async (t) => {
  const devices: readonly LinuxDevice[] = privileged.linux.devices ?? [];
  t.ok(devices.some(({ path }) => path === "/dev/null"));
});
