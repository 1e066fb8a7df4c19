import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { Code, createClient } from "@connectrpc/connect";
import t, { type Test } from "tap";
import {
  ContainerConfigSchema,
  ImageService,
  NamespaceMode,
  PodSandboxConfigSchema,
  RuntimeService,
} from "../../gen/runtime/v1/api_pb.js";
import { delay } from "../../src/async/index.js";
import { grpcOverSocket } from "../../src/grpc/index.js";
import { type RegistryServer, startRegistry } from "../../testing/registry/index.js";
import { unmountBelow } from "../../testing/rig/containerd.js";
import { startDaemon } from "../../testing/rig/daemon.js";
import { gnuTar, SmallImages } from "../../testing/transfer/small-image.js";

const secret = "pass-phrase-of-the-test";
const auth = { username: "kubelet", password: secret };

/** A daemon that collects statistics every second, and a private registry with an image of busybox. */
async function nodeRig(t: Test) {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-cri-node-"));
  t.teardown(async () => {
    await unmountBelow(folder);
    await rm(folder, { recursive: true, force: true });
  });
  const server = await startRegistry({ auth: { kind: "basic", ...auth } });
  t.teardown(async () => await server.stop());
  const config = `
[nri]
socket_path = "${join(folder, "nri.sock")}"
plugin_path = "${join(folder, "nri")}"
[cri.cni]
conf_dir = "${join(folder, "cni")}"
[cri.images]
stats_collect_period = 1
[cri.runtime]
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
`;
  const start = async () => {
    const daemon = await startDaemon({ folder, config });
    const connection = grpcOverSocket(daemon.address);
    return {
      images: createClient(ImageService, connection.transport),
      runtime: createClient(RuntimeService, connection.transport),
      logFile: daemon.logFile,
      stop: async () => {
        connection[Symbol.dispose]();
        await daemon.stop();
      },
    };
  };
  return { folder, server, start, reference: await publishBox(folder, server) };
}

async function publishBox(folder: string, server: RegistryServer): Promise<string> {
  const layout = join(folder, "layout");
  const made = new SmallImages(layout);
  const script =
    'mkdir bin; cp "$(command -v busybox)" bin/busybox; for name in sh sleep; do ln -s busybox bin/$name; done';
  const { digest, mediaType, size } = await made.image([{ tar: await gnuTar(folder, script) }]);
  await made.name("v1", { digest, mediaType, size });
  await server.addLayout({ folder: layout, repository: "box" });
  const bytes = await readFile(join(layout, "blobs", "sha256", digest.slice("sha256:".length)));
  server.addManifest({ repository: "box", tag: "v1", bytes, mediaType });
  return `${server.host}/box:v1`;
}

type Node = Awaited<ReturnType<Awaited<ReturnType<typeof nodeRig>>["start"]>>;

/** A pod on the host's network with one container that writes a file. */
async function runBox(
  { runtime }: Node,
  image: string,
): Promise<{ podSandboxId: string; containerId: string }> {
  const namespaceOptions = { network: NamespaceMode.NODE, pid: NamespaceMode.CONTAINER };
  const config = create(PodSandboxConfigSchema, {
    metadata: { name: "box", uid: "uid-box", namespace: "tests", attempt: 0 },
    linux: { securityContext: { namespaceOptions } },
  });
  const { podSandboxId } = await runtime.runPodSandbox({ config });
  const { containerId } = await runtime.createContainer({
    podSandboxId,
    sandboxConfig: config,
    config: create(ContainerConfigSchema, {
      metadata: { name: "box", attempt: 0 },
      image: { image },
      command: ["sh", "-c", "busybox seq 1 20000 > /written; sleep 1000"],
      linux: { securityContext: { namespaceOptions } },
    }),
  });
  await runtime.startContainer({ containerId });
  return { podSandboxId, containerId };
}

async function until<Value>(find: () => Promise<Value | undefined>): Promise<Value> {
  for (;;) {
    const found = await find();
    if (found !== undefined) return found;
    await delay(100);
  }
}

/** Bytes of the writable layer and of the images, once the collector has seen them. */
async function written({ runtime, images }: Node, containerId: string) {
  return await until(async () => {
    const { stats } = await runtime.containerStats({ containerId });
    const bytes = stats?.writableLayer?.usedBytes?.value ?? 0n;
    const { imageFilesystems, containerFilesystems } = await images.imageFsInfo({});
    const fits = (containerFilesystems[0]?.usedBytes?.value ?? 0n) === bytes;
    return bytes >= 100_000n && fits ? { stats: stats!, image: imageFilesystems[0]!, bytes } : undefined;
  });
}

t.test(
  "a daemon runs a private image, measures it, and knows it after a restart without the registry",
  async (t) => {
    const { server, start, reference } = await nodeRig(t);
    let node = await start();
    t.teardown(async () => {
      // A test that failed leaves its pod behind.
      for (const { id } of (await node.runtime.listPodSandbox({})).items) {
        await node.runtime.stopPodSandbox({ podSandboxId: id });
        await node.runtime.removePodSandbox({ podSandboxId: id });
      }
      await node.stop();
    });
    const image = { image: reference };
    await t.rejects(node.images.pullImage({ image }), { code: Code.Unauthenticated });
    const { imageRef } = await node.images.pullImage({ image, auth });
    const { podSandboxId, containerId } = await runBox(node, imageRef);
    const measured = await written(node, containerId);
    t.match(measured.stats, {
      attributes: { id: containerId, metadata: { name: "box" } },
      cpu: { usageCoreNanoSeconds: { value: BigInt } },
      memory: {
        workingSetBytes: { value: BigInt },
        usageBytes: { value: BigInt },
        rssBytes: { value: BigInt },
      },
    });
    t.ok((measured.image.usedBytes?.value ?? 0n) > measured.bytes, "layers take room beside what is written");
    const { stats } = await node.runtime.podSandboxStats({ podSandboxId });
    t.equal(stats?.linux?.containers[0]?.attributes?.id, containerId);
    t.ok((stats?.linux?.memory?.usageBytes?.value ?? 0n) > 0n);
    t.equal(stats?.linux?.network, undefined, "the host's network is not the pod's");
    const { podMetrics } = await node.runtime.listPodSandboxMetrics({});
    const names = new Set(podMetrics[0]?.containerMetrics[0]?.metrics.map(({ name }) => name));
    for (const name of ["cpu_usage_seconds_total", "memory_rss", "fs_usage_bytes", "processes", "threads"]) {
      t.ok(names.has(`container_${name}`), name);
    }
    const { images } = await node.images.listImages({});
    await server.stop();
    await node.stop();
    node = await start();
    t.same((await node.images.listImages({})).images, images);
    await written(node, containerId);
    await node.runtime.stopPodSandbox({ podSandboxId });
    await node.runtime.removePodSandbox({ podSandboxId });
    await node.images.removeImage({ image });
    t.same((await node.images.listImages({})).images, []);
    await until(async () => {
      const { containerFilesystems } = await node.images.imageFsInfo({});
      return containerFilesystems[0]?.usedBytes?.value === 0n ? true : undefined;
    });
    t.notMatch(await readFile(node.logFile, "utf8"), new RegExp(secret));
  },
);
