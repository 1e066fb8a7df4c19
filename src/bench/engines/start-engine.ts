import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { connect } from "../../client/index.js";
import { failedPrecondition } from "../../errors/index.js";
import { Cleanup, startService, unmountBelow } from "../tools/index.js";
import { type ContainerdParts, NAMESPACE, startContainerd } from "./containerd.js";
import type { Engine, LazuliParts, PullRequest, StartEngineOptions } from "./engine.js";
import { startLazuli } from "./lazuli.js";

/** An engine without images on a folder of its own, which is gone when it is disposed of. */
export async function startEngine(options: StartEngineOptions): Promise<Engine> {
  const { folder } = options;
  const cleanup = new Cleanup();
  cleanup.add(async () => {
    await unmountBelow(folder);
    await rm(folder, { recursive: true, force: true });
  });
  try {
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder, { recursive: true });
    const parts = await startParts(options, cleanup);
    const client = connect({
      address: parts.address,
      namespace: NAMESPACE,
      fifoFolder: join(folder, "fifo"),
    });
    cleanup.add(() => client[Symbol.dispose]());
    return {
      client,
      folder,
      logs: parts.logs,
      snapshotter: parts.snapshotter,
      pids: parts.pids,
      lazuli: parts.lazuli,
      pull: async (image) => {
        if (parts.pull !== undefined) await parts.pull(image);
        else {
          const { reference, signal } = image;
          await client.pull(reference, { snapshotter: parts.snapshotter, signal });
        }
      },
      [Symbol.asyncDispose]: async () => await cleanup[Symbol.asyncDispose](),
    };
  } catch (thrown) {
    await cleanup[Symbol.asyncDispose]();
    throw thrown;
  }
}

interface EngineParts {
  readonly address: string;
  readonly snapshotter: string;
  readonly pids: readonly number[];
  readonly logs: readonly string[];
  readonly lazuli: LazuliParts | undefined;
  /** Undefined: it pulls by itself when it is asked to. */
  readonly pull: ((image: PullRequest) => Promise<void>) | undefined;
}

async function startParts(options: StartEngineOptions, cleanup: Cleanup): Promise<EngineParts> {
  switch (options.kind) {
    case "containerd":
    case "newer containerd":
      return await fullContainerd(options, cleanup);
    case "lazuli daemon":
      return await lazuliDaemon(options, cleanup);
    case "lazuli plugin":
      return await lazuliPlugin(options, cleanup);
    case "soci-snapshotter":
      return await sociSnapshotter(options, cleanup);
    case "stargz-snapshotter":
      return await stargzSnapshotter(options, cleanup);
  }
}

async function fullContainerd(options: StartEngineOptions, cleanup: Cleanup): Promise<EngineParts> {
  const { kind, programs } = options;
  const binFolder = kind === "containerd" ? undefined : programs.newerContainerd;
  const containerd = await startOwnContainerd(options, cleanup, { binFolder, snapshotter: undefined });
  const ctr = binFolder === undefined ? "ctr" : join(binFolder, "ctr");
  return {
    address: containerd.address,
    snapshotter: "overlayfs",
    pids: [containerd.pid],
    logs: ["containerd/log"],
    lazuli: undefined,
    pull: async ({ reference }) => await containerd.run(ctr, ["images", "pull", reference]),
  };
}

async function lazuliDaemon(options: StartEngineOptions, cleanup: Cleanup): Promise<EngineParts> {
  const { folder, programs, signal } = options;
  const lazuli = await startLazuli({
    role: "daemon",
    folder: join(folder, "lazuli"),
    program: programs.lazuli,
    hostsFolder: await writeHosts(options),
    containerdSocket: undefined,
    profiles: options.profiles,
    isForLearning: options.isForLearning,
    signal,
  });
  cleanup.add(() => lazuli.service.stop());
  const pids = [lazuli.service.pid];
  const logs = ["lazuli/log"];
  return { address: lazuli.socket, snapshotter: "overlayfs", pids, logs, lazuli, pull: undefined };
}

async function lazuliPlugin(options: StartEngineOptions, cleanup: Cleanup): Promise<EngineParts> {
  const { folder, programs, signal } = options;
  const lazuli = await startLazuli({
    role: "snapshotter",
    folder: join(folder, "lazuli"),
    program: programs.lazuli,
    hostsFolder: await writeHosts(options),
    containerdSocket: join(folder, "containerd", "containerd.sock"),
    profiles: options.profiles,
    isForLearning: options.isForLearning,
    signal,
  });
  cleanup.add(() => lazuli.service.stop());
  const snapshotter = { name: "lazuli", socket: lazuli.socket, root: lazuli.root };
  const containerd = await startOwnContainerd(options, cleanup, { binFolder: undefined, snapshotter });
  return {
    address: containerd.address,
    snapshotter: "lazuli",
    pids: [containerd.pid, lazuli.service.pid],
    logs: ["containerd/log", "lazuli/log"],
    lazuli,
    pull: async ({ reference }) =>
      await containerd.run("ctr-remote", ["images", "rpull", "--snapshotter", "lazuli", reference]),
  };
}

async function sociSnapshotter(options: StartEngineOptions, cleanup: Cleanup): Promise<EngineParts> {
  const { folder, programs, authority } = options;
  const [socket, root, config] = [join(folder, "soci.sock"), join(folder, "soci"), join(folder, "soci.toml")];
  await writeFile(config, "");
  const service = await startService({
    program: join(programs.soci!, "soci-snapshotter-grpc"),
    args: ["--address", socket, "--root", root, "--config", config],
    env: { SSL_CERT_FILE: authority },
    logFile: join(folder, "soci.log"),
    ready: socket,
  });
  cleanup.add(() => service.stop());
  const snapshotter = { name: "soci", socket, root };
  const containerd = await startOwnContainerd(options, cleanup, { binFolder: undefined, snapshotter });
  return {
    address: containerd.address,
    snapshotter: "soci",
    pids: [containerd.pid, service.pid],
    logs: ["containerd/log", "soci.log"],
    lazuli: undefined,
    pull: async ({ reference, sociIndex }) => {
      if (sociIndex === undefined) {
        throw failedPrecondition(`Cannot pull ${reference} by soci: no layer is large enough for an index`, {
          subject: reference,
          reason: "soci-empty",
        });
      }
      const words = ["image", "rpull", "--soci-index-digest", sociIndex, reference];
      await containerd.run(join(programs.soci!, "soci"), words);
    },
  };
}

async function stargzSnapshotter(options: StartEngineOptions, cleanup: Cleanup): Promise<EngineParts> {
  const { folder, programs, authority } = options;
  const [socket, root] = [join(folder, "stargz.sock"), join(folder, "stargz")];
  const config = join(folder, "stargz.toml");
  await writeFile(config, "");
  const service = await startService({
    program: programs.stargz!,
    args: ["--address", socket, "--root", root, "--config", config],
    env: { SSL_CERT_FILE: authority },
    logFile: join(folder, "stargz.log"),
    ready: socket,
  });
  cleanup.add(() => service.stop());
  const snapshotter = { name: "stargz", socket, root };
  const containerd = await startOwnContainerd(options, cleanup, { binFolder: undefined, snapshotter });
  return {
    address: containerd.address,
    snapshotter: "stargz",
    pids: [containerd.pid, service.pid],
    logs: ["containerd/log", "stargz.log"],
    lazuli: undefined,
    pull: async ({ reference }) =>
      await containerd.run("ctr-remote", ["images", "rpull", "--snapshotter", "stargz", reference]),
  };
}

async function startOwnContainerd(
  { folder, authority, signal }: StartEngineOptions,
  cleanup: Cleanup,
  own: {
    readonly binFolder: string | undefined;
    readonly snapshotter:
      | { readonly name: string; readonly socket: string; readonly root: string }
      | undefined;
  },
): Promise<ContainerdParts> {
  const containerd = await startContainerd({ folder: join(folder, "containerd"), authority, signal, ...own });
  cleanup.add(() => containerd.stop());
  return containerd;
}

async function writeHosts({ folder, registryHost, authority }: StartEngineOptions): Promise<string> {
  const hosts = join(folder, "certs.d");
  await mkdir(join(hosts, registryHost), { recursive: true });
  const lines = [`server = "https://${registryHost}"`, `ca = "${authority}"`];
  await writeFile(join(hosts, registryHost, "hosts.toml"), `${lines.join("\n")}\n`);
  return hosts;
}
