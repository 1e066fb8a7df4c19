import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Client, createClient } from "@connectrpc/connect";
import { ImageService, RuntimeService } from "../../gen/runtime/v1/api_pb.js";
import { delay } from "../../src/async/index.js";
import { grpcOverSocket } from "../../src/grpc/index.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { command } from "../../testing/rig/command.js";
import { unmountBelow } from "../../testing/rig/containerd.js";
import { startDaemon } from "../../testing/rig/daemon.js";
import { projectRoot } from "../../testing/rig/lab.js";
import { startService } from "../../testing/rig/service.js";
import { PAUSE_IMAGE } from "./pause-image.js";

export const releases = ["containerd 1.6", "containerd 2.1", "containerd head"] as const;
export type Release = (typeof releases)[number];

const BIN_DIR = "/usr/lib/cni";
const LOOKS = 200;
const LOOK_PAUSE_MS = 50;

export interface NodeOptions {
  readonly name: Release | "lazuli";
  /** Empty or not there: everything that it has lies below. */
  readonly folder: string;
  /** Where the public suites were built, with containerd of its newest source. */
  readonly suites: string | undefined;
  /** An archive of `PAUSE_IMAGE`. */
  readonly pause: string;
  /** `host:port` of the registry. */
  readonly registry: string;
}

/** A daemon as a kubelet has it, on folders and with a pod network of its own. Disposing leaves nothing of it. */
export interface NodeEngine extends AsyncDisposable {
  readonly runtime: Client<typeof RuntimeService>;
  readonly images: Client<typeof ImageService>;
}

export async function startNode(options: NodeOptions): Promise<NodeEngine> {
  const { name, folder } = options;
  const cleanup = new Cleanup();
  try {
    await mkdir(join(folder, "certs", options.registry), { recursive: true });
    await writeFile(
      join(folder, "certs", options.registry, "hosts.toml"),
      `server = "http://${options.registry}"\n`,
    );
    await writeNetwork(folder);
    cleanup.add(() => unmountBelow(folder));
    const address =
      name === "lazuli" ? await startLazuli(folder, cleanup) : await startPeer(name, options, cleanup);
    const connection = grpcOverSocket(address);
    cleanup.add(() => connection[Symbol.dispose]());
    const runtime = createClient(RuntimeService, connection.transport);
    const images = createClient(ImageService, connection.transport);
    cleanup.add(async () => {
      for (const { id } of (await runtime.listPodSandbox({})).items) {
        await runtime.stopPodSandbox({ podSandboxId: id });
        await runtime.removePodSandbox({ podSandboxId: id });
      }
    });
    await isReady(runtime);
    if (name !== "lazuli") await givePause(images, { address, archive: options.pause });
    return { runtime, images, [Symbol.asyncDispose]: () => cleanup[Symbol.asyncDispose]() };
  } catch (thrown) {
    await cleanup[Symbol.asyncDispose]();
    throw thrown;
  }
}

async function writeNetwork(folder: string): Promise<void> {
  await mkdir(join(folder, "net.d"), { recursive: true });
  const subnet = `10.214.${process.pid % 256}.0/24`;
  const ipam = { type: "host-local", subnet, dataDir: join(folder, "ipam") };
  const network = { cniVersion: "1.0.0", name: "bench", plugins: [{ type: "ptp", ipam }] };
  await writeFile(join(folder, "net.d", "10-bench.conflist"), JSON.stringify(network));
}

async function startLazuli(folder: string, cleanup: Cleanup): Promise<string> {
  const config = `
[registry]
config_path = ["${folder}/certs"]
[cri.runtime]
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
[cri.cni]
bin_dirs = ["${BIN_DIR}"]
conf_dir = "${folder}/net.d"
`;
  const daemon = await startDaemon({ folder, config });
  cleanup.add(() => daemon.stop());
  return daemon.address;
}

async function startPeer(name: Release, { folder, suites }: NodeOptions, cleanup: Cleanup): Promise<string> {
  const binFolder = {
    "containerd 1.6": undefined,
    "containerd 2.1": join(projectRoot, "build", "newer", "bin"),
    "containerd head": suites === undefined ? undefined : join(suites, "bin"),
  }[name];
  const address = join(folder, "peer.sock");
  await writeFile(join(folder, "config.toml"), peerConfig(name, { folder, address }));
  const service = await startService({
    program: binFolder === undefined ? "containerd" : join(binFolder, "containerd"),
    args: ["--config", join(folder, "config.toml")],
    env: binFolder === undefined ? {} : { PATH: `${binFolder}:${process.env.PATH}` },
    logFile: join(folder, "log"),
    ready: address,
  });
  cleanup.add(() => service.stop());
  return address;
}

function peerConfig(
  name: Release,
  { folder, address }: { readonly folder: string; readonly address: string },
): string {
  const top = [
    `version = ${name === "containerd 1.6" ? 2 : 3}`,
    `root = "${folder}/root"`,
    `state = "${folder}/state"`,
    `[grpc]\naddress = "${address}"`,
    `[plugins."io.containerd.internal.v1.opt"]\npath = "${folder}/opt"`,
  ];
  const runtime = ["restrict_oom_score_adj = true", "netns_mounts_under_state_dir = true"];
  const network = [
    name === "containerd head" ? `bin_dirs = ["${BIN_DIR}"]` : `bin_dir = "${BIN_DIR}"`,
    `conf_dir = "${folder}/net.d"`,
  ];
  const registry = `config_path = "${folder}/certs"`;
  if (name === "containerd 1.6") {
    const cri = 'plugins."io.containerd.grpc.v1.cri"';
    const images = [`sandbox_image = "${PAUSE_IMAGE}"`];
    const tables = [`[${cri}.cni]`, ...network, `[${cri}.registry]`, registry];
    return [...top, `[${cri}]`, ...images, ...runtime, ...tables, ""].join("\n");
  }
  const [images, pods] = ["images", "runtime"].map((part) => `plugins."io.containerd.cri.v1.${part}"`);
  const pinned = [`[${images}.pinned_images]`, `sandbox = "${PAUSE_IMAGE}"`];
  const plugins = ['[plugins."io.containerd.nri.v1.nri"]', "disable = true"];
  const tables = [`[${images}.registry]`, registry, ...pinned, ...plugins];
  return [...top, ...tables, `[${pods}]`, ...runtime, `[${pods}.cni]`, ...network, ""].join("\n");
}

/** Until the network's configuration was read. */
async function isReady(runtime: Client<typeof RuntimeService>): Promise<void> {
  for (let look = 0; look < LOOKS; look += 1) {
    const { status } = await runtime.status({}).catch(() => ({ status: undefined })); // CRI is not served yet.
    const met = (status?.conditions ?? []).filter((condition) => condition.status).map(({ type }) => type);
    if (met.includes("RuntimeReady") && met.includes("NetworkReady")) return;
    await delay(LOOK_PAUSE_MS);
  }
  throw new Error("Cannot compare: want a node that is ready");
}

async function givePause(
  images: Client<typeof ImageService>,
  { address, archive }: { readonly address: string; readonly archive: string },
): Promise<void> {
  await command("ctr", ["--address", address, "--namespace", "k8s.io", "images", "import", archive]);
  for (let look = 0; look < LOOKS; look += 1) {
    if ((await images.imageStatus({ image: { image: PAUSE_IMAGE } })).image !== undefined) return;
    await delay(LOOK_PAUSE_MS);
  }
  throw new Error("Cannot compare: want the image of the pause process at CRI");
}
