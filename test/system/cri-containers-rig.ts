import { copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type Client, createClient } from "@connectrpc/connect";
import { WebSocket } from "ws";
import {
  ContainerConfigSchema,
  ContainerState,
  NamespaceMode,
  PodSandboxConfigSchema,
  RuntimeService,
} from "../../gen/runtime/v1/api_pb.js";
import { delay } from "../../src/async/index.js";
import { grpcOverSocket } from "../../src/grpc/index.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { command } from "../../testing/rig/command.js";
import { unmountBelow } from "../../testing/rig/containerd.js";
import { type ImageConfig, writeOciArchive } from "../../testing/rig/oci-archive.js";
import { type Service, startService } from "../../testing/rig/service.js";

export const IMAGE = "lazuli.test/box:latest";
/** With a volume, and a stop signal of its own. */
export const VOLUME_IMAGE = "lazuli.test/volume:latest";

const main = fileURLToPath(new URL("../../src/cli/main.js", import.meta.url));
const armed = new URL("./cri-containers-armed.js", import.meta.url).href;
const APPLETS = ["sh", "sleep", "cat", "echo", "id", "ls", "head", "tail", "nc", "stat", "yes", "kill"];

type Runtime = Client<typeof RuntimeService>;
type ContainerInit = MessageInitShape<typeof ContainerConfigSchema>;

export interface KubeletRig extends AsyncDisposable {
  readonly folder: string;
  readonly logs: string;
  /** Of the daemon that runs now. */
  readonly runtime: Runtime;
  pod(name: string, options?: { readonly hasOwnNetwork?: boolean }): Promise<string>;
  create(podId: string, name: string, config?: ContainerInit): Promise<string>;
  /** create() and start. */
  run(podId: string, name: string, config?: ContainerInit): Promise<string>;
  status(id: string): Promise<NonNullable<Awaited<ReturnType<Runtime["containerStatus"]>>["status"]>>;
  ended(id: string): ReturnType<KubeletRig["status"]>;
  /** Runs a command and returns what it prints. */
  exec(id: string, ...words: string[]): Promise<{ stdout: string; stderr: string; exitCode: number }>;
  /** Kills the daemon and starts another, which dies at a step if one is given. */
  restart(options?: { readonly point?: string }): Promise<void>;
  /** Until the daemon has died at its step. */
  died(): Promise<void>;
}

/** A daemon with two images of busybox, and a kubelet's client. Disposing removes all pods. */
export async function kubeletRig(): Promise<KubeletRig> {
  const cleanup = new Cleanup();
  try {
    return await openRig(cleanup);
  } catch (thrown) {
    await cleanup[Symbol.asyncDispose]();
    throw thrown;
  }
}

async function openRig(cleanup: Cleanup): Promise<KubeletRig> {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-cri-"));
  cleanup.add(() => rm(folder, { recursive: true, force: true }));
  cleanup.add(() => unmountBelow(folder));
  const address = join(folder, "d.sock");
  await writeConfig(folder);
  const start = async (point = ""): Promise<Service> =>
    await startService({
      program: process.execPath,
      args: ["--import", armed, main, "daemon", "--config", join(folder, "config.toml")],
      env: { LAZULI_TEST_POINT: point },
      logFile: join(folder, "log"),
      ready: address,
    });
  let service = await start();
  let connection = grpcOverSocket(address);
  const rig: { runtime: Runtime } = { runtime: createClient(RuntimeService, connection.transport) };
  const stop = async (signal: NodeJS.Signals): Promise<void> => {
    connection[Symbol.dispose]();
    await service.stop(signal);
  };
  const restart = async ({ point }: { readonly point?: string } = {}): Promise<void> => {
    await stop("SIGKILL");
    service = await start(point);
    connection = grpcOverSocket(address);
    rig.runtime = createClient(RuntimeService, connection.transport);
  };
  cleanup.add(() => stop("SIGTERM"));
  cleanup.add(async () => {
    for (const { id } of (await rig.runtime.listPodSandbox({})).items) {
      await rig.runtime.stopPodSandbox({ podSandboxId: id });
      await rig.runtime.removePodSandbox({ podSandboxId: id });
    }
  });
  await importImages(folder, address);
  return {
    ...kubeletCalls(folder, () => rig.runtime),
    folder,
    logs: join(folder, "logs"),
    get runtime() {
      return rig.runtime;
    },
    restart,
    died: async () => {
      while (service.process.exitCode === null && service.process.signalCode === null) await delay(10);
    },
    [Symbol.asyncDispose]: async () => {
      const { exitCode, signalCode } = service.process;
      if (exitCode !== null || signalCode !== null) await restart();
      await cleanup[Symbol.asyncDispose]();
    },
  };
}

function kubeletCalls(folder: string, runtime: () => Runtime) {
  const podConfigs = new Map<string, MessageInitShape<typeof PodSandboxConfigSchema>>();
  const calls = {
    pod: async (name: string, { hasOwnNetwork = false } = {}): Promise<string> => {
      const config = {
        metadata: { name, uid: `uid-${name}`, namespace: "tests", attempt: 0 },
        logDirectory: join(folder, "logs", name),
        linux: {
          securityContext: {
            namespaceOptions: {
              network: hasOwnNetwork ? NamespaceMode.POD : NamespaceMode.NODE,
              pid: NamespaceMode.CONTAINER,
            },
          },
        },
      };
      const { podSandboxId } = await runtime().runPodSandbox({ config });
      podConfigs.set(podSandboxId, config);
      return podSandboxId;
    },
    create: async (podId: string, name: string, config: ContainerInit = {}): Promise<string> => {
      const sandboxConfig = create(PodSandboxConfigSchema, podConfigs.get(podId)!);
      const { network } = sandboxConfig.linux!.securityContext!.namespaceOptions!;
      const { containerId } = await runtime().createContainer({
        podSandboxId: podId,
        sandboxConfig,
        config: create(ContainerConfigSchema, {
          metadata: { name, attempt: 0 },
          image: { image: IMAGE },
          command: ["sleep", "1000"],
          logPath: `${name}.log`,
          linux: {
            securityContext: { namespaceOptions: { network, pid: NamespaceMode.CONTAINER } },
          },
          ...config,
        } as ContainerInit),
      });
      return containerId;
    },
    run: async (podId: string, name: string, config: ContainerInit = {}): Promise<string> => {
      const containerId = await calls.create(podId, name, config);
      await runtime().startContainer({ containerId });
      return containerId;
    },
    status: async (containerId: string) => (await runtime().containerStatus({ containerId })).status!,
    ended: async (containerId: string) => {
      for (;;) {
        const status = await calls.status(containerId);
        if (status.state === ContainerState.CONTAINER_EXITED) return status;
        await delay(20);
      }
    },
    exec: async (containerId: string, ...cmd: string[]) => {
      const { stdout, stderr, exitCode } = await runtime().execSync({ containerId, cmd, timeout: 20n });
      return { stdout: Buffer.from(stdout).toString(), stderr: Buffer.from(stderr).toString(), exitCode };
    },
  };
  return calls;
}

async function writeConfig(folder: string): Promise<void> {
  const confFolder = join(folder, "cni");
  await mkdir(confFolder, { recursive: true });
  // A third octet of its own for each run, so that tests side by side do not share addresses.
  const subnet = `10.213.${process.pid % 256}.0/24`;
  const network = {
    cniVersion: "1.0.0",
    name: `lazuli-${process.pid}`,
    plugins: [{ type: "ptp", ipam: { type: "host-local", subnet, dataDir: join(folder, "ipam") } }],
  };
  await writeFile(join(confFolder, "10-test.conflist"), JSON.stringify(network));
  const config = `root = "${folder}/root"
state = "${folder}/state"
[daemon]
address = "${folder}/d.sock"
[cri.runtime]
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
[cri.cni]
bin_dirs = ["/usr/lib/cni"]
conf_dir = "${confFolder}"
[nri]
socket_path = "${folder}/nri.sock"
`;
  await writeFile(join(folder, "config.toml"), config);
}

async function importImages(folder: string, address: string): Promise<void> {
  const tree = join(folder, "tree");
  for (const name of ["bin", "proc", "dev", "sys", "run", "tmp", "etc", "data/deep"]) {
    await mkdir(join(tree, name), { recursive: true });
  }
  await copyFile("/bin/busybox", join(tree, "bin/busybox"));
  for (const name of APPLETS) await symlink("busybox", join(tree, "bin", name));
  await writeFile(join(tree, "etc/passwd"), "root:x:0:0::/:/bin/sh\nweb:x:1234:1235::/:/bin/sh\n");
  await writeFile(join(tree, "etc/group"), "root:x:0:\nwebs:x:1235:\nextra:x:1300:web\n");
  await writeFile(join(tree, "data/deep/file"), "from the image\n", { mode: 0o640 });
  await symlink("/etc", join(tree, "data/outside"));
  const layer = join(folder, "layer.tar");
  await command("tar", ["-C", tree, "--numeric-owner", "-cf", layer, "."]);
  const images: readonly [string, object][] = [
    [IMAGE, {}],
    [VOLUME_IMAGE, { Volumes: { "/data": {} }, StopSignal: "SIGUSR1", User: "web" }],
  ];
  for (const [name, more] of images) {
    const archive = join(folder, "image.tar");
    const config: ImageConfig = { Env: ["PATH=/bin"], ...more };
    await writeOciArchive({ layers: [layer], config, name, archive });
    await command("ctr", ["--address", address, "--namespace", "k8s.io", "images", "import", archive]);
  }
}

/** A client of the streaming server: channels over one WebSocket. */
export class StreamClient implements AsyncDisposable {
  readonly #socket: WebSocket;
  readonly #received = new Map<number, Buffer>();
  readonly closed: Promise<void>;

  constructor(url: string, protocol: string) {
    this.#socket = new WebSocket(url.replace(/^http/, "ws"), [protocol]);
    this.closed = new Promise((resolve) => this.#socket.once("close", () => resolve()));
    this.#socket.on("error", () => undefined);
    this.#socket.on("message", (data: Buffer) => {
      const channel = data[0]!;
      this.#received.set(
        channel,
        Buffer.concat([this.#received.get(channel) ?? Buffer.alloc(0), data.subarray(1)]),
      );
    });
  }

  async opened(): Promise<this> {
    await new Promise<void>((resolve, reject) => {
      this.#socket.once("open", () => resolve());
      this.#socket.once("error", reject);
    });
    return this;
  }

  send(channel: number, text: string): void {
    this.#socket.send(Buffer.concat([Buffer.of(channel), Buffer.from(text)]));
  }

  /** Stops to read what the server sends. */
  pause(): void {
    this.#socket.pause();
  }

  text(channel: number): string {
    return (this.#received.get(channel) ?? Buffer.alloc(0)).toString();
  }

  async until(channel: number, part: string): Promise<void> {
    while (!this.text(channel).includes(part)) await delay(10);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.terminate();
    await this.closed;
  }
}
