import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { createClient } from "@connectrpc/connect";
import t from "tap";
import { parse, parseAllDocuments } from "yaml";
import { RuntimeService } from "../../gen/runtime/v1/api_pb.js";
import { grpcOverSocket } from "../../src/grpc/index.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { unmountBelow } from "../../testing/rig/containerd.js";
import { freePort } from "../../testing/rig/free-port.js";
import { startService } from "../../testing/rig/service.js";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const read = async (path: string): Promise<string> => await readFile(join(root, path), "utf8");

interface Mount {
  readonly name: string;
  readonly mountPath: string;
  readonly mountPropagation?: string;
}

interface DaemonSet {
  readonly metadata: { readonly namespace: string };
  readonly spec: {
    readonly selector: { readonly matchLabels: object };
    readonly template: {
      readonly metadata: { readonly labels: object };
      readonly spec: {
        readonly containers: readonly {
          readonly command: readonly string[];
          readonly securityContext: object;
          readonly readinessProbe: { readonly httpGet: { readonly port: number; readonly path: string } };
          readonly volumeMounts: readonly Mount[];
        }[];
        readonly volumes: readonly {
          readonly name: string;
          readonly hostPath?: { readonly path: string };
          readonly configMap?: { readonly name: string };
        }[];
      };
    };
  };
}

interface ConfigMap {
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly data: Readonly<Record<string, string>>;
}

async function manifests(): Promise<{ readonly config: ConfigMap; readonly set: DaemonSet }> {
  const documents = parseAllDocuments(await read("deploy/kubernetes/daemonset.yaml"));
  const all = documents.map((document) => document.toJS() as { kind: string });
  const one = (kind: string): unknown => all.find((document) => document.kind === kind);
  return { config: one("ConfigMap") as ConfigMap, set: one("DaemonSet") as DaemonSet };
}

/** A service's words with lazuli of this tree, and a config whose paths lie in a folder. */
async function started(
  cleanup: Cleanup,
  options: { readonly words: readonly string[]; readonly config: string; readonly socket: string },
): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-kubernetes-"));
  cleanup.add(() => rm(folder, { recursive: true, force: true }));
  cleanup.add(() => unmountBelow(folder));
  const configFile = join(folder, "config.toml");
  await writeFile(configFile, options.config.replaceAll("=FOLDER=", folder));
  await mkdir(join(folder, "net.d"));
  const words = options.words.slice(1).map((word) => (word.endsWith("/config.toml") ? configFile : word));
  const socket = join(folder, options.socket);
  const service = await startService({
    program: join(root, "bin/lazuli"),
    args: words,
    logFile: join(folder, "log"),
    ready: socket,
  });
  cleanup.add(() => service.stop());
  return socket;
}

t.test("the kubelet and crictl are told the socket on which the daemon serves CRI by default", async (t) => {
  const served = /^# address = "(\/run\/lazuli\/lazuli-.*)"$/m.exec(await read("deploy/config.toml"))?.[1];
  const endpoint = `unix://${served}`;
  t.match(served, /\.sock$/);
  const kubelet = await read("deploy/kubernetes/kubelet.conf");
  t.ok(kubelet.includes(`--container-runtime-endpoint=${endpoint}"`), "kubelet.conf has it");
  const crictl = parse(await read("deploy/kubernetes/crictl.yaml"));
  t.match(crictl, { "runtime-endpoint": endpoint, "image-endpoint": endpoint });
  const page = await read("docs/kubernetes.md");
  for (const [, block = ""] of page.matchAll(/```yaml\n([\s\S]*?)```/g)) {
    t.match(parse(block), { nodeRegistration: { criSocket: endpoint } });
  }
  t.ok(page.includes(`--container-runtime-endpoint=${endpoint}`), "the page has it");
  for (const [, path = ""] of page.matchAll(/\]\(([^)#]+)\)/g)) {
    await t.resolves(readFile(join(root, "docs", path)), `${path} is there`);
  }
});

t.test("the unit's command serves CRI with the config of a node", async (t) => {
  await using cleanup = new Cleanup();
  const unit = await read("deploy/lazuli-daemon.service");
  const words = /^ExecStart=(.*)$/m.exec(unit)![1]!.split(" ");
  const port = await freePort();
  const node = (await read("deploy/kubernetes/config.toml"))
    .replace("127.0.0.1:9410", `127.0.0.1:${port}`)
    .replace("/etc/cni/net.d", "=FOLDER=/net.d");
  const places = `root = "=FOLDER=/root"\nstate = "=FOLDER=/state"\n[daemon]\naddress = "=FOLDER=/d.sock"\n`;
  const socket = await started(cleanup, {
    words,
    config: `${places}[nri]\nsocket_path = "=FOLDER=/nri.sock"\n${node}`,
    socket: "d.sock",
  });
  const connection = grpcOverSocket(socket);
  cleanup.add(() => connection[Symbol.dispose]());
  const runtime = createClient(RuntimeService, connection.transport);
  t.match(await runtime.version({}), { runtimeApiVersion: "v1", runtimeName: "lazuli" });
  const { status, runtimeHandlers } = await runtime.status({});
  t.match(status?.conditions, [
    { type: "RuntimeReady", status: true },
    { type: "NetworkReady", status: false },
  ]);
  t.ok(
    runtimeHandlers.some(({ name }) => name === "runc"),
    "pods have runc",
  );
  // What the kubelet asks for its cgroup driver: 0 is systemd.
  t.equal((await runtime.runtimeConfig({})).linux?.cgroupDriver, 0);
  t.equal((await fetch(`http://127.0.0.1:${port}/healthz`)).status, 200);
});

t.test("the DaemonSet's parts belong together, and its paths are the node's", async (t) => {
  const { config, set } = await manifests();
  const { template, selector } = set.spec;
  t.match(template.metadata.labels, selector.matchLabels);
  t.equal(config.metadata.namespace, set.metadata.namespace);
  const container = template.spec.containers[0]!;
  t.match(container.securityContext, { privileged: true });
  for (const { name, mountPath } of container.volumeMounts) {
    const volume = template.spec.volumes.find((one) => one.name === name);
    if (volume?.hostPath !== undefined)
      t.equal(volume.hostPath.path, mountPath, `${name} is at its own path`);
    else t.equal(volume?.configMap?.name, config.metadata.name);
  }
  const text = config.data["config.toml"]!;
  for (const key of ["root", "state"]) {
    const path = new RegExp(`^${key} = "(.*)"$`, "m").exec(text)![1]!;
    const mount = container.volumeMounts.find(({ mountPath }) => mountPath === path);
    t.equal(mount?.mountPropagation, "Bidirectional", `mounts below ${path} are seen by the node`);
  }
  const address = /\[snapshotter\]\naddress = "(.*)"/.exec(text)![1]!;
  t.ok(
    container.volumeMounts.some(({ mountPath }) => mountPath === dirname(address)),
    "the socket is on the node",
  );
  for (const plugin of ["deploy/containerd-2-lazuli.toml", "deploy/containerd-1.6-lazuli.toml"]) {
    t.ok((await read(plugin)).includes(`address = "${address}"`), `${plugin} names the socket`);
  }
});

t.test("the DaemonSet's command starts with its config, and its probe answers", async (t) => {
  await using cleanup = new Cleanup();
  const { config, set } = await manifests();
  const { command, readinessProbe } = set.spec.template.spec.containers[0]!;
  const { port: probed, path } = readinessProbe.httpGet;
  const port = await freePort();
  const text = config.data["config.toml"]!.replace(`127.0.0.1:${probed}`, `127.0.0.1:${port}`)
    .replaceAll("/var/lib/lazuli", "=FOLDER=/root")
    .replaceAll("/run/", "=FOLDER=/");
  await started(cleanup, { words: command, config: text, socket: "lazuli/snapshotter.sock" });
  t.equal((await fetch(`http://127.0.0.1:${port}${path}`)).status, 200);
});
