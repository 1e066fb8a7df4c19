import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { ContainerConfigSchema, PodSandboxConfigSchema } from "../../gen/runtime/v1/api_pb.js";
import {
  type ContainerSpec,
  type ContainerSpecRequest,
  containerSpec,
  type PodSpec,
  type PodSpecRequest,
  podSpec,
} from "../../src/cri/spec/index.js";
import { LazuliError } from "../../src/errors/index.js";
import { parseRunConfig } from "../../src/spec/index.js";
import { podFiles, testHost, testRuntime, testSettings } from "./spec-host.js";

export const passwd = `root:x:0:0:root:/root:/bin/sh
app:x:1000:1001::/home/app:/bin/sh
1005:x:0:0:a number for a name:/root:/bin/sh
broken line
negative:x:-1:-1::/:/bin/sh
`;
export const group = `root:x:0:
wheel:x:10:root,app
app:x:1001:app
media:x:44:app,nobody
`;

export type PodConfig = MessageInitShape<typeof PodSandboxConfigSchema>;
export type Config = MessageInitShape<typeof ContainerConfigSchema>;

const metadata = { name: "pod", uid: "uid", namespace: "default", attempt: 0 };

export interface ContainerOptions
  extends Partial<Omit<ContainerSpecRequest, "config" | "imageConfig" | "pod">> {
  readonly config?: Config;
  readonly pod?: PodConfig;
  readonly podLabel?: string;
  /** The image's, in JSON. */
  readonly image?: unknown;
}

/** Of a container that runs `true` and has nothing else. */
export async function buildContainer(options: ContainerOptions = {}): Promise<ContainerSpec> {
  const { config, pod, podLabel, image, ...others } = options;
  return containerSpec({
    id: "CONTAINER",
    config: create(ContainerConfigSchema, {
      metadata: { name: "web" },
      command: ["true"],
      ...config,
    } as Config),
    imageConfig: parseRunConfig(Buffer.from(JSON.stringify({ config: image ?? {} }))),
    imageName: "box:1",
    accounts: { passwd, group },
    pod: {
      id: "POD",
      config: create(PodSandboxConfigSchema, { metadata, ...pod } as PodConfig),
      pid: 4242,
      processLabel: podLabel ?? "",
      files: podFiles,
    },
    volumesFolder: "/containers/CONTAINER/volumes",
    mountImage: async ({ image: name }) => `/mounted/${name}`,
    isCdiEnabled: true,
    runtime: testRuntime,
    settings: testSettings,
    host: testHost(),
    ...others,
  });
}

export type PodOptions = Partial<Omit<PodSpecRequest, "config">> & { readonly config?: PodConfig };

export async function buildPod({ config, ...others }: PodOptions = {}): Promise<PodSpec> {
  return podSpec({
    id: "POD",
    config: create(PodSandboxConfigSchema, { metadata, ...config } as PodConfig),
    netns: "/var/run/netns/cni-1",
    userns: undefined,
    rootfsPath: "/pause",
    args: ["/pause"],
    imageName: "lazuli/pause",
    files: podFiles,
    runtime: testRuntime,
    settings: testSettings,
    host: testHost(),
    ...others,
  });
}

export interface Refusal {
  readonly code: string;
  readonly reason: string | undefined;
  readonly message: string;
}

/** How it fails; undefined when it does not. Errors that are not lazuli's pass through. */
export async function refusalOf(built: Promise<unknown>): Promise<Refusal | undefined> {
  try {
    await built;
    return undefined;
  } catch (error) {
    if (!(error instanceof LazuliError)) throw error;
    return { code: error.code, reason: error.reason, message: error.message };
  }
}
